//! Serves the signing certificate at the path that Microsoft uses, and its bad variants.

use crate::{answer::Answer, call::Call, callback::certificate_url, state::Site};

pub(crate) fn answer(site: &Site, call: &Call) -> Answer {
    let certificates = &site.certificates;
    let der = |bytes: &Vec<u8>| Answer::bytes(200, "application/pkix-cert", bytes.clone());
    match call.rest().as_slice() {
        ["pcnotifications-dispatch.microsoft.com.cer"] => der(&certificates.good),
        ["pem.cer"] => Answer::text(200, &certificates.good_pem),
        ["expired.cer"] => der(&certificates.expired),
        ["other-root.cer"] => der(&certificates.other_root),
        ["wrong-organization.cer"] => der(&certificates.wrong_organization),
        ["wrong-issuer.cer"] => der(&certificates.wrong_issuer),
        ["garbage.cer"] => Answer::text(200, "not a certificate"),
        ["redirect.cer"] => Answer::empty(302).header("Location", &certificate_url(&site.url)),
        ["root.pem"] => Answer::text(200, &certificates.root_pem),
        ["wrong-issuer-root.pem"] => Answer::text(200, &certificates.stranger_root_pem),
        _ => Answer::text(404, "The specified blob does not exist."),
    }
}
