//! What can be found on this side: settings, journal, bus, kill switch, playbooks, and the channels to people.

super::diagnoses! {
    CHECK_TIMED_OUT = unreachable(
        "check-timed-out",
        ("the check did not end within {seconds} seconds", "try again; if it stays so, see what this machine can reach"),
        ("점검이 {seconds}초 안에 끝나지 않았습니다", "다시 시도하고, 계속되면 이 서버에서 나가는 네트워크를 확인하세요"),
    );
    SETTINGS_GOOD = good("settings-good", "the settings can be used", "설정을 사용할 수 있습니다");
    SETTINGS_WRONG = fault(
        "settings-wrong",
        ("{fault}", "put it right in `quell.yaml`; `quell check` shows every place"),
        ("{fault}", "`quell.yaml`에서 고치세요. `quell check`가 모든 위치를 보여 줍니다"),
    );
    SETTINGS_ADVICE = warning(
        "settings-advice",
        ("{fault}", "see `telemetry.tell` in the settings"),
        ("{fault}", "설정의 `telemetry.tell`을 확인하세요"),
    );
    STORE_GOOD = good("store-good", "the journal can be read and is of this version", "저널을 읽을 수 있고 이 버전의 것입니다");
    STORE_ABSENT = good("store-absent", "there is no journal yet; `quell run` makes it", "저널이 아직 없습니다. `quell run`이 만듭니다");
    STORE_OLDER = warning(
        "store-older",
        ("the journal is of an earlier version (schema {version})", "back it up; the next `quell run` brings it to this version"),
        ("저널이 이전 버전(스키마 {version})의 것입니다", "백업하세요. 다음 `quell run`이 이 버전으로 올립니다"),
    );
    STORE_NEWER = fault(
        "store-newer",
        ("the journal was written by a newer Quell (schema {version})", "run that version, or restore a backup from before the upgrade"),
        ("더 새로운 Quell이 저널을 썼습니다(스키마 {version})", "그 버전을 실행하거나 업그레이드 이전의 백업을 복원하세요"),
    );
    STORE_UNUSABLE = fault(
        "store-unusable",
        ("the journal cannot be used", "do what the answer says; without its journal Quell does nothing"),
        ("저널을 사용할 수 없습니다", "응답에 적힌 대로 조치하세요. 저널이 없으면 Quell은 아무것도 하지 않습니다"),
    );
    BUS_EMBEDDED = good("bus-embedded", "alerts wait in the journal; {waiting} wait now", "경보는 저널에서 대기합니다. 지금 {waiting}건");
    BUS_GOOD = good(
        "bus-good",
        "the broker has what Quell needs; {waiting} alerts wait now",
        "브로커에 필요한 것이 모두 있습니다. 지금 {waiting}건 대기",
    );
    BUS_UNREACHABLE = unreachable(
        "bus-unreachable",
        ("the broker cannot be reached", "see that it runs, and host, port, user and password in `bus.url`"),
        ("브로커에 연결할 수 없습니다", "브로커가 실행 중인지, `bus.url`의 호스트, 포트, 사용자와 암호를 확인하세요"),
    );
    BUS_UNDECLARED = good(
        "bus-undeclared",
        "the broker is reached; `quell run` makes the exchanges and queues",
        "브로커에 연결됩니다. 익스체인지와 큐는 `quell run`이 만듭니다",
    );
    BUS_MISSING = fault(
        "bus-missing",
        ("an exchange or queue is not there, and `bus.declare` is false", "declare it on the broker, or set `bus.declare` to true"),
        ("익스체인지나 큐가 없고 `bus.declare`가 false입니다", "브로커에서 선언하거나 `bus.declare`를 true로 바꾸세요"),
    );
    BUS_DIFFERS = fault(
        "bus-differs",
        ("an exchange or queue is there with other arguments", "delete and re-make it, or give Quell another name under `bus`"),
        ("익스체인지나 큐가 다른 인수로 선언되어 있습니다", "삭제 후 다시 만들거나 `bus`에서 다른 이름을 지정하세요"),
    );
    QUEUE_LONG = warning(
        "queue-long",
        ("{waiting} alerts wait", "see that `quell run` runs and takes them: `/readyz` tells"),
        ("경보 {waiting}건이 대기 중입니다", "`quell run`이 실행 중이고 경보를 가져가는지 `/readyz`에서 확인하세요"),
    );
    ACTIONS_RUN = good("actions-run", "the kill switch is not thrown", "비상 정지가 걸려 있지 않습니다");
    ACTIONS_STOPPED = warning(
        "actions-stopped",
        ("all actions are stopped, by {who}: {reason}", "`quell resume-actions --reason …` lets them begin again"),
        ("모든 작업이 정지되었습니다({who}: {reason})", "`quell resume-actions --reason …`으로 다시 시작합니다"),
    );
    PLAYBOOKS_GOOD = good(
        "playbooks-good",
        "{count} playbooks can be used, of which {enforced} act",
        "플레이북 {count}개를 사용할 수 있고, 그중 {enforced}개가 작업을 수행합니다",
    );
    PLAYBOOKS_NONE = fault(
        "playbooks-none",
        ("there is no playbook in `{folder}`, so no alert leads to anything", "see `playbooks` in the settings; `quell new` writes a first one"),
        ("`{folder}`에 플레이북이 없어 어떤 경보에도 대응하지 않습니다", "설정의 `playbooks`를 확인하세요. `quell new`로 첫 플레이북을 만들 수 있습니다"),
    );
    PLAYBOOKS_WRONG = fault(
        "playbooks-wrong",
        ("{count} problems keep playbooks from being used", "`quell check` shows each with its place"),
        ("문제 {count}건 때문에 사용할 수 없는 플레이북이 있습니다", "`quell check`가 각 위치를 보여 줍니다"),
    );
    CHANNEL_GOOD = good("channel-good", "it lets Quell in", "채널에 접속할 수 있습니다");
    CHANNEL_NOT_TRIED = good(
        "channel-not-tried",
        "only a message could tell; `--send-test` sends one",
        "메시지를 보내야만 알 수 있습니다. `--send-test`로 보냅니다",
    );
    CHANNEL_SENT = good("channel-sent", "it took a message as a test", "시험 메시지를 받았습니다");
    CHANNEL_REFUSED = fault(
        "channel-refused",
        ("it does not let Quell in", "see its address, user and password or token under `channels`"),
        ("채널이 접속을 거부합니다", "`channels`의 주소, 사용자, 암호 또는 토큰을 확인하세요"),
    );
    CHANNEL_UNREACHABLE = unreachable(
        "channel-unreachable",
        ("it cannot be reached", "see its address under `channels`, and `net.allow` if it is inside"),
        ("채널에 연결할 수 없습니다", "`channels`의 주소를 확인하고, 내부 주소이면 `net.allow`도 확인하세요"),
    );
    TEST_MESSAGE = good("test-message", "Quell: a test message", "Quell: 시험 메시지");
}
