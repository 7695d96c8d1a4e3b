from pathlib import Path

import pytest
from starlette.testclient import TestClient

from geoindex.errors import UsageError
from geoindex.serve.app import Settings, make_app
from geoindex.serve.security import allowed_origins, is_loopback, new_token, policy_for

HEALTH, INDEXES = "/api/v1/health", "/api/v1/indexes"
TOKEN = "a-token-of-its-own"  # noqa: S105


def served(town: Path, base: str = "http://127.0.0.1:8642", **settings: object) -> TestClient:
    app = make_app([town], Settings(**settings))  # type: ignore[arg-type]
    return TestClient(app, base_url=base, follow_redirects=False)


@pytest.mark.parametrize("host", ["127.0.0.1:8642", "localhost:1", "localhost", "[::1]:8642"])
def test_hosts_of_this_machine(client: TestClient, host: str) -> None:
    assert client.get(HEALTH, headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:8642", "", "localhost.", "[::1", "10.0.0.1"]
)
def test_other_hosts_are_refused(client: TestClient, host: str) -> None:
    found = client.get(INDEXES, headers={"Host": host})
    assert (found.status_code, found.json()["code"]) == (403, "foreign_host")


def test_another_host_than_this_machine_wants_a_token(town: Path) -> None:
    policy = policy_for("0.0.0.0", token=None)  # noqa: S104
    assert policy.token is not None
    assert len(policy.token) >= 32
    assert policy_for("127.0.0.1", token=None).token is None
    client = served(town, "http://box.example:8642", policy=policy)
    refused = client.get(INDEXES)
    assert (refused.status_code, refused.json()["code"]) == (401, "no_token")
    assert client.get("/").status_code == 401
    assert client.get(HEALTH).status_code == 200
    bearer = {"Authorization": f"Bearer {policy.token}"}
    assert client.get(INDEXES, headers=bearer).status_code == 200
    assert client.get(INDEXES, headers={"Authorization": "Bearer x"}).status_code == 401


def test_the_link_sets_a_cookie_and_leads_to_the_page_without_it(town: Path) -> None:
    client = served(town, policy=policy_for("127.0.0.1", token=TOKEN))
    found = client.get(f"/?a=1&token={TOKEN}&b=%20")
    assert (found.status_code, found.headers["location"]) == (303, "/?a=1&b=+")
    cookie = found.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert client.get(INDEXES).status_code == 200
    assert (
        served(town, policy=policy_for("127.0.0.1", token=TOKEN)).get("/?token=wrong").status_code
        == 401
    )


def test_the_link_leads_to_no_other_server(town: Path) -> None:
    client = served(town, policy=policy_for("127.0.0.1", token=TOKEN))
    found = client.get(f"http://127.0.0.1:8642//evil.example/?token={TOKEN}")
    assert found.headers["location"] == "/evil.example/"


def test_no_other_origin_unless_it_is_named(town: Path, client: TestClient) -> None:
    origin = {"Origin": "https://site.example"}
    assert "access-control-allow-origin" not in client.get(INDEXES, headers=origin).headers
    open_to = served(town, cors=("https://site.example",))
    found = open_to.get(INDEXES, headers=origin)
    assert found.headers["access-control-allow-origin"] == "https://site.example"
    other = open_to.get(INDEXES, headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers


def test_every_answer_has_the_headers(client: TestClient) -> None:
    for address in ("/", INDEXES, "/api/v1/nothing", "/page/nothing"):
        headers = client.get(address).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


def test_a_basemap_is_the_only_other_server(town: Path) -> None:
    policy = policy_for("127.0.0.1", token=None, basemap="https://tile.example/{z}/{x}/{y}.png")
    security = served(town, policy=policy).get("/").headers["content-security-policy"]
    assert "img-src 'self' data: blob: https://tile.example;" in security
    assert "default-src 'self';" in security


def test_what_is_no_origin() -> None:
    for wrong in ("*", "site.example", "https://site.example/path", "file:///x"):
        with pytest.raises(UsageError, match="origin"):
            allowed_origins([wrong])


def test_loopback_hosts_and_tokens() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.1.2.3", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "192.168.0.1", "example.org")))  # noqa: S104
    assert new_token() != new_token()
