"""The namespace as WsgiDAV sees it: a provider for one request, and its resources.

WsgiDAV asks for resources one by one; all it will ask for was looked up on the loop before, so no call crosses over.
Bytes and listings never pass through here: GET, HEAD, PUT and PROPFIND are answered on the loop.
"""

from collections.abc import Sequence
from typing import Any, BinaryIO

from lxml import etree
from wsgidav.dav_error import DAVError
from wsgidav.dav_provider import DAVCollection, DAVNonCollection, DAVProvider

from noisefs.adapters.inbound.webdav.engine.errand import Errand, place_of_wsgi, wsgi_path
from noisefs.adapters.inbound.webdav.engine.token_book import TokenBook
from noisefs.adapters.inbound.webdav.listing import multistatus
from noisefs.adapters.inbound.webdav.places.nodes import Node
from noisefs.adapters.inbound.webdav.places.place import Place
from noisefs.adapters.inbound.webdav.rules.locking import covering

Environ = dict[str, Any]  # Any: PEP 3333 leaves the values open


class RequestProvider(DAVProvider):  # type: ignore[misc]  # WsgiDAV has no types
    """Provider of one request's resources."""

    def __init__(self, errand: Errand) -> None:
        super().__init__()
        self.errand = errand
        self.set_share_path("/")
        self.set_lock_manager(TokenBook(errand))

    def get_resource_inst(self, path: str | None, environ: Environ) -> "Folder | File | None":
        """The resource at an encoded path, or ``None``."""
        if path is None:
            return None
        place = place_of_wsgi(path)
        node = self.errand.found.get(place.path)
        if node is None:
            ghost = (self.errand.ghost and place == self.errand.place) or self.lock_manager.knows(place)
            return File(place, None, environ) if ghost else None
        return Folder(node, environ) if node.is_collection else File(place, node, environ)

    def ref_url_to_path(self, ref_url: str) -> str:
        """Both are encoded paths here."""
        return ref_url


class _Resource:
    """What files and collections have in common."""

    provider: RequestProvider
    place: Place
    node: Node | None

    @property
    def errand(self) -> Errand:
        """The request."""
        return self.provider.errand

    def get_ref_url(self) -> str:
        """The encoded path: what locks go by."""
        return wsgi_path(self.place)

    def get_href(self) -> str:
        """The path as clients see it."""
        return self.errand.view.shown(self.place.href(collection=self.node is not None and self.node.is_collection))

    def prevent_locking(self) -> bool:
        """The root cannot be locked: it holds what several users own."""
        return self.place.is_root

    def handle_delete(self) -> bool:
        """DELETE, with everything below, in one commit (two for a bucket)."""
        errand, place = self.errand, self.place
        trees = errand.services.trees
        if self.node is not None and not self.node.is_collection:
            errand.call(trees.delete_object(errand.who, place.bucket, place.key, first=errand.first))
        else:
            errand.call(trees.delete(errand.who, place.bucket, place.prefix, first=errand.first))
            if place.is_bucket:
                errand.call(errand.services.buckets.delete(errand.who, place.bucket))
        return True

    def handle_move(self, dest_path: str) -> bool:
        """MOVE: names change, bytes stay."""
        errand = self.errand
        source, target = self._keys(place_of_wsgi(dest_path))
        replaced = errand.call(
            errand.services.trees.move(
                errand.who,
                self.place.bucket,
                source,
                *target,
                overwrite=errand.overwrite,
                modified_us=errand.modified_us,
                first=errand.first,
            )
        )
        errand.created = not replaced
        return True

    def handle_copy(self, dest_path: str, *, depth_infinity: bool) -> bool:
        """COPY: another name for the same bytes."""
        errand = self.errand
        source, target = self._keys(place_of_wsgi(dest_path))
        recursive = depth_infinity or not source.endswith("/")
        replaced = errand.call(
            errand.services.trees.copy(
                errand.who,
                self.place.bucket,
                source,
                *target,
                overwrite=errand.overwrite,
                recursive=recursive,
                modified_us=errand.modified_us,
                first=errand.first,
            )
        )
        errand.created = not replaced
        return True

    def _keys(self, target: Place) -> tuple[str, tuple[str, str]]:
        """The source's key, and the target's bucket and key, each with a slash at its end for a collection."""
        if self.node is not None and self.node.is_collection:
            return self.place.prefix, (target.bucket, target.prefix)
        return self.place.key, (target.bucket, target.key)

    def get_property_value(self, name: str) -> "etree._Element":
        """The lockdiscovery property, all that WsgiDAV reads: for the answer to a LOCK."""
        if name != multistatus.LOCKDISCOVERY:
            raise DAVError(404)
        errand = self.errand
        locks = covering(errand.call(errand.services.locks.find(self.place.path)), self.place.path)
        now_us = errand.services.clock.now_us()
        shown = "".join(multistatus.active_lock(lock, now_us, errand.view) for lock in locks)
        return etree.fromstring(f'<D:lockdiscovery xmlns:D="DAV:">{shown}</D:lockdiscovery>')


class Folder(_Resource, DAVCollection):  # type: ignore[misc]  # WsgiDAV has no types
    """Root, bucket or collection."""

    def __init__(self, node: Node, environ: Environ) -> None:
        super().__init__(wsgi_path(node.place), environ)
        self.place = node.place
        self.node = node

    def get_member_names(self) -> Sequence[str]:
        """Never asked for: listings are answered on the loop."""
        raise DAVError(501, "listings do not go through here")

    def create_collection(self, name: str) -> None:  # noqa: ARG002  # WsgiDAV's signature
        """MKCOL: in the root, a bucket."""
        errand = self.errand
        if self.place.is_root:
            errand.call(errand.services.buckets.create(errand.who, errand.place.bucket))
        else:
            errand.call(
                errand.services.trees.make(errand.who, errand.place.bucket, errand.place.prefix, first=errand.first)
            )

    def create_empty_resource(self, name: str) -> "File":  # noqa: ARG002  # WsgiDAV's signature
        """LOCK of an unmapped URL. The file is made once the lock is granted, so that a refusal leaves nothing."""
        if self.place.is_root:
            raise DAVError(403, "the root holds buckets only")
        self.provider.lock_manager.make_file = True
        return File(self.errand.place, None, self.environ)


class File(_Resource, DAVNonCollection):  # type: ignore[misc]  # WsgiDAV has no types
    """A file, or the place of one that is about to be made."""

    def __init__(self, place: Place, node: Node | None, environ: Environ) -> None:
        super().__init__(wsgi_path(place), environ)
        self.place = place
        self.node = node

    def get_content_length(self) -> int:
        """Bytes of the file."""
        return 0 if self.node is None or self.node.version is None else self.node.version.size

    def get_content(self) -> BinaryIO:
        """Never asked for: bytes are read on the loop."""
        raise DAVError(501, "bytes do not go through here")

    def get_etag(self) -> str | None:
        """The entity tag, without quotes."""
        return None if self.node is None or self.node.version is None else self.node.version.etag

    def support_etag(self) -> bool:
        """Every file has one."""
        return True
