"""`python -m services.api.openapi`: write the OpenAPI document to docs/openapi.json."""

import json
import sys
from pathlib import Path

from pydantic import SecretStr

from services.api.app import create_app
from services.api.settings import ApiSettings

PATH = Path(__file__).parents[2] / "docs" / "openapi.json"


def openapi_document() -> str:
    """Sorted and indented, so that a change reads well as a difference. Nothing is connected to."""
    nowhere = ApiSettings(
        database_url=SecretStr("postgresql://nowhere"),
        redis_url=SecretStr("redis://nowhere"),
        object_store_url="memory://",
        secret_key=SecretStr("not used, nothing is signed"),
    )
    return json.dumps(create_app(nowhere).openapi(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def main() -> None:
    PATH.write_text(openapi_document(), encoding="utf-8")
    sys.stdout.write(f"{PATH}\n")


if __name__ == "__main__":
    main()
