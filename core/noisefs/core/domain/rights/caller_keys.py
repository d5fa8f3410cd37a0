"""Condition keys about whoever asks: the same for every protocol."""

from datetime import UTC, datetime

from noisefs.core.domain.requests import Principal
from noisefs.core.domain.rights.identity import user_arn
from noisefs.core.domain.rights.role import role_arn


def of_caller(key: str, who: Principal) -> str | None:
    """The value of a canonical key; ``None``: it is none of these, or nobody knows who asks."""
    role = who.role
    if key == "aws:principaltype":
        return "AssumedRole" if role is not None else "User" if who.user_id else "Anonymous"
    if key == "aws:principalisawsservice":
        return "false"
    if not who.user_id:
        return "anonymous" if key == "aws:userid" else None
    match key:
        case "aws:username":
            return who.name if role is None else None
        case "aws:userid":
            return who.user_id if role is None else f"{role.role_id}:{role.session}"
        case "aws:principalarn":
            return arn_of(who) if role is None else role_arn(who.account, role.path, role.role)
        case "aws:principalaccount":
            return who.account
        case "aws:tokenissuetime":
            return utc_time(who.token_us) if who.token_us else None
    return None


def arn_of(who: Principal) -> str:
    """The ARN of whoever asks; empty: nobody knows."""
    if who.role is not None:
        return who.role.arn(who.account)
    return user_arn(who.account, who.name, who.path) if who.user_id else ""


def utc_time(time_us: int) -> str:
    """A time as condition keys have it."""
    return datetime.fromtimestamp(time_us / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
