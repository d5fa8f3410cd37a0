"""Condition keys about whoever asks: the same for every protocol."""

from datetime import UTC, datetime

from noisefs.core.domain.requests import Principal
from noisefs.core.domain.rights.identity import user_arn


def of_caller(key: str, who: Principal) -> str | None:
    """The value of a canonical key; ``None``: it is none of these, or nobody knows who asks."""
    if key == "aws:principaltype":
        return "User" if who.user_id else "Anonymous"
    if key == "aws:principalisawsservice":
        return "false"
    if not who.user_id:
        return "anonymous" if key == "aws:userid" else None
    match key:
        case "aws:username":
            return who.name
        case "aws:userid":
            return who.user_id
        case "aws:principalarn":
            return user_arn(who.account, who.name)
        case "aws:principalaccount":
            return who.account
        case "aws:tokenissuetime":
            return utc_time(who.token_us) if who.token_us else None
    return None


def utc_time(time_us: int) -> str:
    """A time as condition keys have it."""
    return datetime.fromtimestamp(time_us / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
