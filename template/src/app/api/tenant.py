from typing import Annotated

from fastapi import Header

Tenant = Annotated[
    str | None,
    Header(
        alias="X-Tenant-ID",
        pattern=r"^[A-Za-z0-9._:@-]{1,128}$",
        description="On whose behalf. No tenant's answers are served to another from the cache. "
        "Believed as it is: whoever knows the caller (a gateway) sets it.",
    ),
]
