"""Which addresses notices may go to, what may be seen of them, and what an error may say."""

import pytest

from lifecycle import sealing
from lifecycle.adapters.apprise_messages import AppriseMessages, _read, _secrets, _without
from lifecycle.ports import PermanentError

SLACK = "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (SLACK, "Slack"),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", "Slack"),
        ("tgram://123456789:abcdefg_hijklmnop/12315544", "Telegram"),
        ("ntfys://very-secret-topic", "ntfy"),
        ("mmosts://chat.example.org/abctoken123", "Mattermost at chat.example.org"),
        ("jsons://user:hunter2@hooks.example.org:8443/very-secret", "Webhook at hooks.example.org:8443"),
        ("mailtos://bot:hunter2@mail.example.org?to=ops@example.org&from=bot@example.org", "E-mail to ops@example.org"),
    ],
)
def test_no_secret_is_shown_of_an_address(address, shown):
    assert AppriseMessages().describe(address) == shown


@pytest.mark.parametrize(
    "address",
    [
        *("", "nonsense", "slack://", "json://[::1", "https://example.org/hook"),
        *("file:///tmp/secret-file", "syslog://secret-host", "dbus://", "glib://", "windows://", "macosx://"),
        *("apprise://host/secret-token", "xml://host/secret-path", "sns://secret", "mqtt://secret-host"),
    ],
)
def test_only_chosen_services_may_be_used(address):
    with pytest.raises(PermanentError) as refused:
        AppriseMessages().describe(address)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "parameter",
    [
        *("template=/etc/passwd", "PGPPUB=/etc/passwd", "pgpprv=/etc/passwd", "pgp=encrypt", "wkd=yes"),
        *("redirect=yes", "verify=no", "retry=9", "wait=9", "rto=900", "cto=900"),
    ],
)
def test_an_address_opens_no_file_and_changes_no_rule(parameter):
    with pytest.raises(PermanentError, match="may not have the parameter"):
        AppriseMessages().describe(f"mailtos://bot:hunter2@mail.example.org?to=ops@example.org&{parameter}")


@pytest.mark.parametrize(
    "address", [SLACK, "json://user:hunter2@host/very/secret%2Fpath?+X-Key=header-key", "ntfys://very-secret-topic"]
)
def test_an_error_repeats_no_part_of_an_address(address):
    found = _without(_secrets(_read(address), address), f"could not reach {address} (of {address.split('//')[1]})")
    for secret in ("T1JJ3T3L2", "TIiajk", "hunter2", "secret", "header-key"):
        assert secret not in found


def test_a_sealed_address_survives_a_new_secret_key(settings):
    sealed = sealing.seal(SLACK)
    assert SLACK.encode() not in sealed
    assert sealing.is_current(sealed)
    old, settings.SECRET_KEY = settings.SECRET_KEY, "another-" + "y" * 40
    with pytest.raises(sealing.SealBrokenError, match="STAGEGATE_SECRET_KEY_FALLBACKS"):
        sealing.unseal(sealed)
    settings.SECRET_KEY_FALLBACKS = [old]
    assert sealing.unseal(memoryview(sealed)) == SLACK
    assert not sealing.is_current(sealed)
    assert sealing.is_current(sealing.seal(sealing.unseal(sealed)))
