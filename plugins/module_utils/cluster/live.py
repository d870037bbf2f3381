# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads what is live of many objects, in as few and as small requests as the case allows."""

from __future__ import annotations

import concurrent.futures
import itertools
import queue
import typing as t

from ..reconcile.types import K8sObject
from .client import Cluster
from .errors import ApiError
from .kinds import Kind

#: Up to so many objects of a kind and namespace are read one by one rather than by a list of the namespace.
_SINGLE_READS = 4
#: Up to so many namespaces are listed one by one rather than by a list of the whole cluster.
_NAMESPACE_LISTS = 10
_END = object()

#: Kind -> namespace ("" where the kind has none) -> names.
Wanted = t.Mapping[Kind, t.Mapping[str, t.Collection[str]]]


class _Read(t.NamedTuple):
    kind: Kind
    namespace: str | None
    name: str | None
    labels: str | None = None


class Live:
    """The live objects among those that are wanted, and every object with a label.

    Iterating reads; every object comes at least once, as the server has it, and others may come too.

    :param cluster: where to read
    :param wanted: what to look for
    :param labels: also give every object of C(kinds) that this label selector finds; a user who may not list all
        namespaces gets those of the namespaces in C(wanted)
    :param kinds: see C(labels); where one isn't served in its version, it is read in another
    :param if_allowed: those of C(kinds) that may be left out where the user may not list them and no namespace is known
    :ivar unserved: after iterating, the kinds that the server doesn't serve in the declared version
    :ivar unseen: after iterating, the kinds of which objects with the label may exist that the user may not list
    """

    def __init__(
        self,
        cluster: Cluster,
        wanted: Wanted,
        labels: str | None = None,
        kinds: t.Iterable[Kind] = (),
        if_allowed: t.Collection[Kind] = (),
    ) -> None:
        self.unserved: set[Kind] = set()
        self.unseen: set[Kind] = set()
        self._cluster = cluster
        self._wanted = wanted
        self._if_allowed = if_allowed
        self._begun: dict[_Read, t.Iterator[list[K8sObject]]] = {}
        self._reads = _reads(wanted)
        if labels:
            listed = {(read.kind) for read in self._reads if read.name is None and read.namespace is None}
            self._reads += [_Read(kind, None, None, labels) for kind in kinds if kind not in listed]

    def begin(self, kinds: t.Collection[Kind]) -> set[Kind]:
        """Reads the first page of wanted objects of some kinds, which iterating gives later.

        :returns: the kinds among them that the server doesn't serve in the declared version
        """
        reads = [read for read in self._reads if read.labels is None and read.kind in kinds]
        if len(reads) == 1:
            self._begun = {reads[0]: self._begin(reads[0])}
        elif reads:
            with concurrent.futures.ThreadPoolExecutor(min(self._cluster.concurrency, len(reads))) as threads:
                self._begun = dict(zip(reads, threads.map(self._begin, reads), strict=True))
        return set(self.unserved)

    def read_as(self, versions: t.Mapping[Kind, Kind]) -> None:
        """Reads kinds in another version, before anything is iterated."""
        self._reads = [read._replace(kind=versions.get(read.kind, read.kind)) for read in self._reads]
        self._wanted = {versions.get(kind, kind): names for kind, names in self._wanted.items()}
        self.unserved -= versions.keys()

    def _begin(self, read: _Read) -> t.Iterator[list[K8sObject]]:
        pages = self._pages(read)
        return itertools.chain(list(itertools.islice(pages, 1)), pages)

    def __iter__(self) -> t.Iterator[K8sObject]:
        if len(self._reads) == 1:
            for page in self._begun.pop(self._reads[0], None) or self._pages(self._reads[0]):
                yield from page
            return
        pages: queue.Queue[t.Any] = queue.Queue(maxsize=4)
        with concurrent.futures.ThreadPoolExecutor(min(self._cluster.concurrency, len(self._reads) or 1)) as threads:
            work = [threads.submit(self._give, read, pages) for read in self._reads]
            try:
                for _one in work:
                    while (page := pages.get()) is not _END:
                        yield from page
            finally:
                for one in work:
                    one.cancel()
                while not all(one.done() for one in work):
                    try:
                        pages.get(timeout=0.05)  # let a thread that waits for room go on
                    except queue.Empty:
                        continue
        for one in work:
            one.result()

    def _give(self, read: _Read, pages: queue.Queue[t.Any]) -> None:
        try:
            for page in self._begun.pop(read, None) or self._pages(read):
                pages.put(page)
        finally:
            pages.put(_END)

    def _pages(self, read: _Read) -> t.Iterator[list[K8sObject]]:
        try:
            if read.name is None:
                yield from self._cluster.pages(read.kind, read.namespace, labels=read.labels)
            else:
                yield [self._cluster.request("GET", read.kind.path(read.namespace, read.name))]
        except ApiError as error:
            if error.status == 403 and read.name is None and read.namespace is None:
                yield from self._pages_by_namespace(read, error)
            elif error.status != 404:
                raise
            elif error.unserved and read.labels:
                served = self._cluster.served(read.kind)
                if served is not None:
                    yield from self._pages(read._replace(kind=served))
            elif error.unserved:
                self.unserved.add(read.kind)

    def _pages_by_namespace(self, read: _Read, refusal: ApiError) -> t.Iterator[list[K8sObject]]:
        """For a user who may not look into the whole cluster; what it may not list at all it can't have labelled."""
        namespaces = self._namespaces(read)
        if read.labels:
            self.unseen.add(read.kind)
        if not namespaces:
            if read.labels and read.kind in self._if_allowed:
                return
            raise refusal
        for namespace in namespaces:
            try:
                yield from self._cluster.pages(read.kind, namespace, labels=read.labels)
            except ApiError as error:
                if error.status != 403 or not read.labels:
                    raise

    @property
    def seen_namespaces(self) -> list[str]:
        """The namespaces in which objects with the label are looked for where the user may not list all."""
        return sorted({namespace for kind in self._wanted for namespace in self._wanted[kind] if namespace})

    def _namespaces(self, read: _Read) -> list[str]:
        """Where to look for objects, for a user who may not look into the whole cluster."""
        kinds = [read.kind] if read.labels is None else self._wanted
        return sorted({namespace for kind in kinds for namespace in self._wanted.get(kind, ()) if namespace})


def _reads(wanted: Wanted) -> list[_Read]:
    reads: list[_Read] = []
    for kind, namespaces in wanted.items():
        singles = [
            _Read(kind, namespace or None, name)
            for namespace, names in namespaces.items()
            if len(names) <= _SINGLE_READS
            for name in names
        ]
        lists = [_Read(kind, ns or None, None) for ns, names in namespaces.items() if len(names) > _SINGLE_READS]
        if len(singles) > _SINGLE_READS * _NAMESPACE_LISTS or len(lists) > _NAMESPACE_LISTS:
            reads.append(_Read(kind, None, None))
        else:
            reads += [*singles, *lists]
    return reads
