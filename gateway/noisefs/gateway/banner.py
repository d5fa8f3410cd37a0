"""What a person sees when the server has started: where it is, how to log in, what to paste."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from noisefs.core.services.accounts import Credential


@dataclass(frozen=True, slots=True)
class Endpoints:
    """URLs of a running server. ``website``: empty where no web sites are served."""

    s3: str
    webdav: str
    admin: str
    website: str = ""


def banner(*, version: str, data: str, endpoints: Endpoints, region: str, first: Credential | None, known: str) -> str:
    """The banner's text.

    Args:
        version: Of the program.
        data: The data folder.
        endpoints: As clients reach them.
        region: That S3 clients sign for.
        first: The key of a store that was made just now, whose secret is shown this once.
        known: An access key that the operator has preset; empty if there is none.
    """
    key = first.access_key_id if first is not None else known or "ACCESS_KEY"
    secret = first.secret if first is not None and not known else "SECRET_KEY"
    share = urlsplit(endpoints.webdav)
    dav = f"{'davs' if share.scheme == 'https' else 'dav'}://{share.netloc}/"
    if first is not None and not known:
        login = f"""\
  access key  {key}
  secret key  {secret}   (shown only now; `noisefs key add admin --data {data}` makes another)
  WebDAV      log in with the same pair as name and password
"""
    elif known:
        login = f"  access key  {key}, with the secret you have set; the pair is also the WebDAV login\n"
    else:
        login = f"  keys        as before; `noisefs key add admin --data {data}` makes another pair\n"
    sites = f"\n  web sites   {endpoints.website}" if endpoints.website else ""
    return f"""
NoiseFS Gateway {version}, store in {data}

  S3          {endpoints.s3}
  WebDAV      {endpoints.webdav}
  admin       {endpoints.admin}   (/healthz /readyz /metrics){sites}

{login}
  aws-cli     export AWS_ACCESS_KEY_ID={key} AWS_SECRET_ACCESS_KEY={secret} AWS_DEFAULT_REGION={region}
              aws --endpoint-url {endpoints.s3} s3 mb s3://my-bucket
  rclone      rclone config create noisefs s3 provider=Other endpoint={endpoints.s3} region={region} \
access_key_id={key} secret_access_key={secret}
              rclone copy ~/Pictures noisefs:my-bucket
  files       GNOME Files: {dav}   Finder and Explorer: {endpoints.webdav}/

"""
