//! What can be found with a token in hand: permissions, roles, and what the services answer.

super::diagnoses! {
    ALERTS_GOOD = good("alerts-good", "Graph lists the alerts and heeds the filter", "Graph가 경보를 나열하고 필터를 따릅니다");
    ALERTS_READ_MISSING = fault(
        "alerts-read-missing",
        ("the application may not read the alerts", "Entra admin center > App registrations > the application > API permissions: add Microsoft Graph `PartnerSecurity.Read.All` (Application), then Grant admin consent"),
        ("앱이 경보를 읽을 수 없습니다", "Entra 관리 센터 > 앱 등록 > 해당 앱 > API 사용 권한에서 Microsoft Graph `PartnerSecurity.Read.All`(애플리케이션)을 추가하고 관리자 동의를 허용하세요"),
    );
    ALERTS_WRITE_MISSING = fault(
        "alerts-write-missing",
        ("playbooks update alerts, and the application may only read them", "Entra admin center > App registrations > the application > API permissions: add Microsoft Graph `PartnerSecurity.ReadWrite.All` (Application), then Grant admin consent"),
        ("플레이북이 경보를 갱신하지만 앱은 읽기만 할 수 있습니다", "Entra 관리 센터 > 앱 등록 > 해당 앱 > API 사용 권한에서 Microsoft Graph `PartnerSecurity.ReadWrite.All`(애플리케이션)을 추가하고 관리자 동의를 허용하세요"),
    );
    ALERTS_VERSION = fault(
        "alerts-version",
        ("Graph does not have the alerts in the version of `graph_version`", "try the other of `beta` and `v1.0`"),
        ("`graph_version`의 버전에는 경보가 없습니다", "`beta`와 `v1.0` 중 다른 것을 사용하세요"),
    );
    FILTER_REFUSED = warning(
        "filter-refused",
        ("Graph refuses to filter the alerts by date", "nothing is lost: Quell lists all and filters here, which takes longer; poll less often if there are thousands"),
        ("Graph가 날짜 필터를 거부합니다", "누락은 없습니다. Quell이 모두 나열해 직접 거르므로 더 오래 걸립니다. 경보가 수천 건이면 조회 간격을 늘리세요"),
    );
    FILTER_IGNORED = warning(
        "filter-ignored",
        ("Graph does not heed the filter by date", "nothing is lost: Quell filters here, which takes longer; poll less often if there are thousands"),
        ("Graph가 날짜 필터를 따르지 않습니다", "누락은 없습니다. Quell이 직접 거르므로 더 오래 걸립니다. 경보가 수천 건이면 조회 간격을 늘리세요"),
    );
    ORGANIZATION_GOOD = good("organization-good", "Partner Center answers as {name}", "파트너 센터가 {name}(으)로 응답합니다");
    ORGANIZATION_OTHER = fault(
        "organization-other",
        ("Partner Center answers for the tenant {tenant}, and the sign-in is for {own}", "compare `tenant_id` with Partner Center > Settings > Account settings > Tenants; the person who consented must be of that tenant"),
        ("파트너 센터는 테넌트 {tenant}(으)로 응답하지만 로그인은 {own}입니다", "`tenant_id`를 파트너 센터 > 설정 > 계정 설정 > 테넌트와 비교하세요. 동의한 사용자는 그 테넌트 소속이어야 합니다"),
    );
    CUSTOMERS_GOOD = good("customers-good", "Partner Center lists {count} customers", "파트너 센터에 고객 {count}곳이 있습니다");
    CUSTOMERS_NONE = warning(
        "customers-none",
        ("Partner Center lists no customer", "see that this is the tenant of the direct-bill partner or indirect provider"),
        ("파트너 센터에 고객이 없습니다", "직접 청구 파트너 또는 간접 공급자의 테넌트가 맞는지 확인하세요"),
    );
    ROLE_MISSING = fault(
        "role-missing",
        ("Partner Center says that a role is missing", "Partner Center > Settings > User management > the person: add the role Admin agent; an application needs to be registered under Account settings > App management"),
        ("파트너 센터 역할이 없습니다", "파트너 센터 > 설정 > 사용자 관리 > 해당 사용자에 관리 에이전트 역할을 추가하세요. 앱은 계정 설정 > 앱 관리에 등록되어야 합니다"),
    );
    PERSON_NEEDED = fault(
        "person-needed",
        ("Partner Center gives {what} to a person only, and the connection works as the application", "set `login: true` in the connection, then an Admin agent consents: `quell login {connection}`"),
        ("파트너 센터는 {what}을(를) 사용자에게만 제공하지만 이 연결은 앱으로 동작합니다", "연결에 `login: true`를 설정한 뒤 관리 에이전트가 동의하세요: `quell login {connection}`"),
    );
    AUDIENCE_WRONG = fault(
        "audience-wrong",
        ("{service} does not take tokens of this sign-in", "`login_url` and the service's `…_url` must be of the same cloud"),
        ("{service}가 이 로그인의 토큰을 받지 않습니다", "`login_url`과 서비스의 `…_url`은 같은 클라우드여야 합니다"),
    );
    REPORT_GOOD = good("report-good", "{what} can be read", "{what}을(를) 읽을 수 있습니다");
    WEBHOOK_GOOD = good(
        "webhook-good",
        "events go to {host}; `quell webhook test` shows whether they arrive",
        "이벤트가 {host}(으)로 갑니다. 도착 여부는 `quell webhook test`로 확인합니다",
    );
    WEBHOOK_ABSENT = fault(
        "webhook-absent",
        ("no webhook is registered, so events come nowhere", "`quell webhook register --url https://…`"),
        ("웹훅이 등록되지 않아 이벤트가 오지 않습니다", "`quell webhook register --url https://…`"),
    );
    WEBHOOK_ELSEWHERE = fault(
        "webhook-elsewhere",
        ("events go to {host}, and not to the path of adapter `{adapter}`", "if no other program needs them: `quell webhook register --url https://… --replace`; there is one registration for each partner"),
        ("이벤트가 어댑터 `{adapter}`의 경로가 아니라 {host}(으)로 갑니다", "다른 프로그램이 쓰지 않으면 `quell webhook register --url https://… --replace`. 등록은 파트너마다 하나입니다"),
    );
    WEBHOOK_EVENTS = fault(
        "webhook-events",
        ("the registration leaves out {events}", "`quell webhook register --url https://…` adds them"),
        ("등록에 {events}이(가) 빠져 있습니다", "`quell webhook register --url https://…`로 추가하세요"),
    );
    WEBHOOK_PRIVATE = warning(
        "webhook-private",
        ("events go to {host}, which Microsoft cannot reach from outside", "register the public `https://` address: `quell webhook register --url https://…`"),
        ("이벤트 주소 {host}는 외부에서 닿을 수 없습니다", "공개된 `https://` 주소를 등록하세요: `quell webhook register --url https://…`"),
    );
    AZURE_GOOD = good("azure-good", "{count} Azure subscriptions of customer {customer} can be seen", "고객 {customer}의 Azure 구독 {count}개가 보입니다");
    AZURE_ROLE_MISSING = fault(
        "azure-role-missing",
        ("nobody gave the connection a role in the Azure subscriptions of customer {customer}", "Azure portal > Subscriptions > Access control (IAM): give Owner, or Virtual Machine Contributor and User Access Administrator, to the AdminAgents group or the application"),
        ("고객 {customer}의 Azure 구독에 역할이 없습니다", "Azure Portal > 구독 > 액세스 제어(IAM)에서 AdminAgents 그룹이나 앱에 소유자 또는 가상 머신 기여자와 사용자 액세스 관리자를 부여하세요"),
    );
    USERS_GOOD = good("users-good", "the users of customer {customer} can be read", "고객 {customer}의 사용자를 읽을 수 있습니다");
    USERS_DENIED = fault(
        "users-denied",
        ("the connection may not read the users of customer {customer}", "a person: Partner Center > Customers > Admin relationships > User Administrator for the security group; an application: `User.ReadWrite.All`, `User.RevokeSessions.All` and `IdentityRiskyUser.ReadWrite.All` with the customer's consent"),
        ("고객 {customer}의 사용자를 읽을 수 없습니다", "사용자: 파트너 센터 > 고객 > 관리자 관계에서 보안 그룹에 사용자 관리자를 할당. 앱: 고객 동의와 함께 `User.ReadWrite.All`, `User.RevokeSessions.All`, `IdentityRiskyUser.ReadWrite.All`"),
    );
    CUSTOMER_GONE = warning(
        "customer-gone",
        ("Partner Center has no relationship with that customer any more", "see Partner Center > Customers"),
        ("그 고객과의 관계가 더 이상 없습니다", "파트너 센터 > 고객을 확인하세요"),
    );
    THROTTLED = warning(
        "throttled",
        ("{service} asks for fewer calls at the moment", "try again in some minutes; if it stays so, lower the pace of polls (`every`)"),
        ("지금 {service}의 호출 한도를 넘었습니다", "몇 분 뒤 다시 시도하고, 계속되면 조회 간격(`every`)을 늘리세요"),
    );
    SERVICE_FAILS = unreachable(
        "service-fails",
        ("{service} does not work at the moment", "try again later; see Microsoft's service health"),
        ("지금 {service}가 동작하지 않습니다", "나중에 다시 시도하고 Microsoft 서비스 상태를 확인하세요"),
    );
    ANSWER_REFUSED = fault(
        "answer-refused",
        ("{service} refuses what Quell needs", "do what the answer says; it names Microsoft's own code"),
        ("{service}가 필요한 요청을 거부합니다", "응답을 따르세요. Microsoft의 코드가 들어 있습니다"),
    );
}
