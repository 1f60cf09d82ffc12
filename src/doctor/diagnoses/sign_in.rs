//! What can be found between here and an access token: the way to Microsoft, clocks, certificates, consent and the sign-in itself.

super::diagnoses! {
    REACHED = good("reached", "Microsoft's sign-in answers, and its clock is ours", "Microsoft 로그인에 연결되고 시계가 일치합니다");
    ADDRESS_UNREACHABLE = unreachable(
        "address-unreachable",
        ("{service} cannot be reached", "see name resolution, the way out and the `…_url` settings of the connection"),
        ("{service}에 연결할 수 없습니다", "DNS, 외부로 나가는 경로와 연결의 `…_url` 설정을 확인하세요"),
    );
    ADDRESS_FORBIDDEN = fault(
        "address-forbidden",
        ("the settings do not let Quell reach {service}", "an address inside needs an entry under `net.allow`; see the `…_url` of the connection"),
        ("설정 때문에 {service}에 접속할 수 없습니다", "내부 주소는 `net.allow`에 있어야 합니다. 연결의 `…_url`을 확인하세요"),
    );
    TLS_UNTRUSTED = fault(
        "tls-untrusted",
        ("nobody we trust vouches for the certificate of {service}", "if a proxy of yours opens TLS, name its authority as `net.certificate_authority`"),
        ("{service}의 인증서를 신뢰할 수 없습니다", "TLS를 여는 프록시가 있으면 그 인증 기관을 `net.certificate_authority`에 지정하세요"),
    );
    CLOCK_OFF = fault(
        "clock-off",
        ("this machine's clock and Microsoft's are {seconds} seconds apart", "turn on time synchronisation (NTP): tokens and statements are refused from five minutes on"),
        ("이 서버의 시계와 Microsoft의 시계가 {seconds}초 다릅니다", "시간 동기화(NTP)를 켜세요. 5분부터는 토큰이 거부됩니다"),
    );
    CLOCK_DRIFTS = warning(
        "clock-drifts",
        ("this machine's clock and Microsoft's are {seconds} seconds apart", "turn on time synchronisation (NTP)"),
        ("이 서버의 시계와 Microsoft의 시계가 {seconds}초 다릅니다", "시간 동기화(NTP)를 켜세요"),
    );
    CERTIFICATE_GOOD = good("certificate-good", "the application's certificate is good for {days} more days", "앱 인증서가 {days}일 더 유효합니다");
    CERTIFICATE_ENDS = warning(
        "certificate-ends",
        ("the application's certificate is good for {days} more days only", "upload a new one: Entra admin center > App registrations > the application > Certificates & secrets; then configure it"),
        ("앱 인증서가 {days}일 뒤에 만료됩니다", "새 인증서를 올리세요: Entra 관리 센터 > 앱 등록 > 해당 앱 > 인증서 및 암호. 그다음 설정에 반영하세요"),
    );
    CERTIFICATE_OVER = fault(
        "certificate-over",
        ("the application's certificate is not good at this time", "upload a new one: Entra admin center > App registrations > the application > Certificates & secrets; then configure it"),
        ("앱 인증서가 지금 유효하지 않습니다", "새 인증서를 올리세요: Entra 관리 센터 > 앱 등록 > 해당 앱 > 인증서 및 암호. 그다음 설정에 반영하세요"),
    );
    CERTIFICATE_REFUSED = fault(
        "certificate-refused",
        ("Microsoft does not know the application's certificate", "upload the file of `certificate.file`: Entra admin center > App registrations > the application > Certificates & secrets > Certificates"),
        ("Microsoft가 앱 인증서를 알지 못합니다", "`certificate.file`을 올리세요: Entra 관리 센터 > 앱 등록 > 해당 앱 > 인증서 및 암호 > 인증서"),
    );
    SECRET_WRONG = fault(
        "secret-wrong",
        ("the application's secret is wrong", "configure the secret's value, not its id, as `client_secret`: Entra admin center > App registrations > the application > Certificates & secrets"),
        ("앱의 클라이언트 암호가 틀립니다", "ID가 아니라 암호의 값을 `client_secret`에 설정하세요: Entra 관리 센터 > 앱 등록 > 해당 앱 > 인증서 및 암호"),
    );
    SECRET_EXPIRED = fault(
        "secret-expired",
        ("the application's secret has expired", "make a new one and configure it as `client_secret`: Entra admin center > App registrations > the application > Certificates & secrets"),
        ("앱의 클라이언트 암호가 만료되었습니다", "새 암호를 만들어 `client_secret`에 설정하세요: Entra 관리 센터 > 앱 등록 > 해당 앱 > 인증서 및 암호"),
    );
    APPLICATION_UNKNOWN = fault(
        "application-unknown",
        ("the tenant does not know the application", "compare `client_id` and `tenant_id` with Entra admin center > App registrations > the application > Overview"),
        ("테넌트가 이 앱을 알지 못합니다", "`client_id`와 `tenant_id`를 Entra 관리 센터 > 앱 등록 > 해당 앱 > 개요와 비교하세요"),
    );
    TENANT_UNKNOWN = fault(
        "tenant-unknown",
        ("there is no such tenant", "compare `tenant_id` with Entra admin center > Overview > Tenant ID; a national cloud needs its own `login_url`"),
        ("그런 테넌트가 없습니다", "`tenant_id`를 Entra 관리 센터 > 개요 > 테넌트 ID와 비교하세요. 국가별 클라우드는 자체 `login_url`이 필요합니다"),
    );
    CONSENT_MISSING = fault(
        "consent-missing",
        ("nobody has consented that the application uses {service}", "an administrator grants it: Entra admin center > App registrations > the application > API permissions > Grant admin consent"),
        ("앱이 {service}를 사용하도록 동의한 사람이 없습니다", "관리자가 동의하세요: Entra 관리 센터 > 앱 등록 > 해당 앱 > API 사용 권한 > 관리자 동의 허용"),
    );
    CONSENT_NOBODY = fault(
        "consent-nobody",
        ("no person has consented yet", "an Admin agent signs in with a second factor: `quell login {connection}`"),
        ("아직 동의한 사람이 없습니다", "관리 에이전트가 다단계 인증으로 로그인하세요: `quell login {connection}`"),
    );
    CONSENT_OVER = fault(
        "consent-over",
        ("the person's consent has expired or was revoked", "an Admin agent signs in again with a second factor: `quell login {connection}`"),
        ("사용자의 동의가 만료되었거나 취소되었습니다", "관리 에이전트가 다단계 인증으로 다시 로그인하세요: `quell login {connection}`"),
    );
    CONSENT_GOOD = good("consent-good", "the newest refresh token is {days} days old", "가장 새로운 새로 고침 토큰은 {days}일 되었습니다");
    CONSENT_UNDATED = good(
        "consent-undated",
        "the refresh token of the settings was not used yet; its age is not known",
        "설정의 새로 고침 토큰을 아직 사용하지 않아 나이를 알 수 없습니다",
    );
    CONSENT_OLD = warning(
        "consent-old",
        ("the newest refresh token is {days} days old and is good for 90", "see why it was not used, and sign in again: `quell login {connection}`"),
        ("가장 새로운 새로 고침 토큰이 {days}일 되었고 90일까지 유효합니다", "왜 사용되지 않았는지 확인하고 다시 로그인하세요: `quell login {connection}`"),
    );
    MFA_MISSING = fault(
        "mfa-missing",
        ("the person consented without a second factor, and Partner Center wants one", "turn MFA on for that account (Entra admin center > Conditional Access, or Security defaults), then sign in again: `quell login {connection}`"),
        ("동의한 사용자가 다단계 인증 없이 로그인했으며, 파트너 센터는 이를 요구합니다", "그 계정에 MFA를 켜고(Entra 관리 센터 > 조건부 액세스 또는 보안 기본값) 다시 로그인하세요: `quell login {connection}`"),
    );
    MFA_WANTED = fault(
        "mfa-wanted",
        ("the tenant wants a second factor since the person consented", "sign in again with a second factor: `quell login {connection}`"),
        ("동의 이후 테넌트가 다단계 인증을 요구합니다", "다단계 인증으로 다시 로그인하세요: `quell login {connection}`"),
    );
    POLICY_BLOCKS = fault(
        "policy-blocks",
        ("a Conditional Access policy stands in the way", "let the application or its person through: Entra admin center > Conditional Access > Policies; Sign-in logs name the policy"),
        ("조건부 액세스 정책이 막고 있습니다", "앱이나 사용자를 허용하세요: Entra 관리 센터 > 조건부 액세스 > 정책. 로그인 로그에 정책 이름이 있습니다"),
    );
    PERSON_BLOCKED = fault(
        "person-blocked",
        ("the account of the person who consented is disabled or not in the tenant", "let another Admin agent sign in: `quell login {connection}`"),
        ("동의한 사용자의 계정이 사용 중지되었거나 테넌트에 없습니다", "다른 관리 에이전트가 로그인하세요: `quell login {connection}`"),
    );
    GDAP_MISSING = fault(
        "gdap-missing",
        ("the connection has no access to the customer's tenant", "Partner Center > Customers > the customer > Admin relationships: ask for a GDAP relationship and assign a security group to it; an application needs the customer's consent"),
        ("고객 테넌트에 접근할 수 없습니다", "파트너 센터 > 고객 > 해당 고객 > 관리자 관계에서 GDAP 관계를 요청하고 보안 그룹을 할당하세요. 앱에는 고객의 동의가 필요합니다"),
    );
    SERVICE_MISSING = fault(
        "service-missing",
        ("the tenant does not have {service} as a service", "see `tenant_id`; only a partner's tenant has Partner Center"),
        ("테넌트에 {service} 서비스가 없습니다", "`tenant_id`를 확인하세요. 파트너 센터는 파트너 테넌트에만 있습니다"),
    );
    SIGN_IN_REFUSED = fault(
        "sign-in-refused",
        ("Microsoft refuses the sign-in for {service}", "look up the AADSTS code of the answer; Entra admin center > Sign-in logs shows the attempt"),
        ("Microsoft가 {service} 로그인을 거부합니다", "응답의 AADSTS 코드를 찾아보세요. Entra 관리 센터 > 로그인 로그에 시도가 남습니다"),
    );
    SIGN_IN_FAILS = unreachable(
        "sign-in-fails",
        ("the sign-in for {service} does not work at the moment", "try again later"),
        ("지금 {service} 로그인이 되지 않습니다", "나중에 다시 시도하세요"),
    );
    SIGNED_IN = good("signed-in", "signs in to {service} as {actor}: {permissions}", "{service}에 {actor}(으)로 로그인: {permissions}");
}
