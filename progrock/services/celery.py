"""Tasks of a Celery app as jobs: sent by name, followed by what the result backend has of them, revoked."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from celery import Celery
from celery.app.backends import by_url
from celery.backends.base import BaseKeyValueStoreBackend, DisabledBackend
from celery.backends.rpc import RPCBackend
from django.utils.module_loading import import_string
from msgspec.structs import replace

from ..exceptions import InvalidParams
from ..protocol import State
from ..step import Look, Miss, Reading
from .base import File, Order, Service, Started
from .meta import STOPPED, WAITING, look_of
from .threads import Threads

_OPTIONS = frozenset(
    {
        *("queue", "exchange", "routing_key", "priority", "expires", "countdown", "time_limit", "soft_time_limit"),
        *("serializer", "compression", "delivery_mode", "headers"),
    }
)
_AT_ONCE = 250
_UNREADABLE = Miss("nonsense", "Celery's record of it cannot be read.")
_UNREADABLE_MOST = 3


class CeleryService(Service):
    """The tasks of a Celery app. The id of a job is the id of its task.

    Neither the app's connections nor its settings are touched: what blocks is done in a few threads, over links of
    their own, with timeouts that the app need not have.

    :param app: dotted path of the Celery app.
    :param name: name of the task, whose keyword arguments are the job's `params`; or a list of names, one of which
        `params["name"]` gives, with the keyword arguments in `params["kwargs"]`.
    :param title: what jobs are called until their task says better; by default, after the task.
    :param options: those of each message, as `apply_async` has them: `queue`, `priority`, `expires`, …
    :param terminate: whether a cancel also ends tasks that have begun: True, or the name of the signal to send.
    :param twice: whether a task may be sent again when nobody knows whether it was sent. Else the job fails.
    :param timeout: milliseconds for a whole call to broker or backend.
    :param connect_timeout: milliseconds for the connection alone.
    :param connections: how many calls to the broker, and as many to the backend, may be on the way at once.
    :raises ValueError: naming what was expected and what came.
    """

    finds = True

    def __init__(
        self,
        app: str,
        name: str | Sequence[str],
        *,
        title: str = "",
        options: Mapping[str, Any] | None = None,
        terminate: bool | str = False,
        twice: bool = False,
        timeout: int = 10_000,
        connect_timeout: int = 3_000,
        connections: int = 4,
    ) -> None:
        self._app = import_string(app)
        if not isinstance(self._app, Celery):
            raise ValueError(f"app: expected the dotted path of a Celery app, got {app!r}.")
        self._names = [name] if isinstance(name, str) else list(name)
        if not self._names or not all(isinstance(each, str) and each for each in self._names):
            raise ValueError(f"name: expected the name of a task, or a list of such, got {name!r}.")
        self._chosen = not isinstance(name, str)
        self._title = title
        self._options = dict(options or {})
        if unknown := sorted(set(self._options) - _OPTIONS):
            raise ValueError(f"options: expected some of {', '.join(sorted(_OPTIONS))}, got {', '.join(unknown)}.")
        self._signal = "SIGTERM" if terminate is True else terminate
        if self._signal and not hasattr(signal, str(self._signal)):
            raise ValueError(f"terminate: expected True, False or the name of a signal, got {terminate!r}.")
        if connect_timeout < 1:
            raise ValueError(f"connect_timeout: expected 1 ms or more, got {connect_timeout}.")
        self._twice = twice
        self._timeout, self._connect_timeout = timeout / 1000, connect_timeout / 1000
        self._backend, self._url = self._backend_of(app)
        self.batch = _AT_ONCE if issubclass(self._backend, BaseKeyValueStoreBackend) else 1
        self._route()
        limits = {"most": connections, "timeout": timeout}
        self._broker = Threads("Celery's broker", self._link, _check, lambda link: link.release(), **limits)
        self._results = Threads("Celery's result backend", self._open, lambda _: None, _close, **limits)

    def clean(self, params: dict[str, Any]) -> dict[str, Any]:
        """Return the parameters, if the task takes them: where its code is known here, that is asked too."""
        name, kwargs = self._call(params)
        # Those that somebody has imported: this imports nothing.
        task = self._app.tasks.get(name)
        if task is not None and getattr(task, "typing", False) and hasattr(task, "__header__"):
            try:
                task.__header__(**kwargs)
            except TypeError as error:
                raise InvalidParams(f"params: {error}.") from None
        return params

    def title(self, params: dict[str, Any]) -> str:
        name, _ = self._call(params)
        return self._title or name.rpartition(".")[2].replace("_", " ").strip().capitalize()

    async def start(self, order: Order) -> Started | Miss:
        try:
            name, kwargs = self._call(order.params)
        except InvalidParams as error:  # the settings are not those that it was cleaned with
            return Miss("refused", str(error), heard=False)
        miss = await self._broker.call(lambda link: self._send(link, name, kwargs, order.job))
        return miss or Started(order.job, Reading(State.PENDING, message=WAITING))

    async def poll(self, remotes: Sequence[str]) -> Sequence[Look]:
        looks = await self._results.call(lambda backend: _looks(backend, remotes, self.batch))
        return [looks] * len(remotes) if isinstance(looks, Miss) else looks

    async def cancel(self, remote: str) -> Look:
        """Have the task revoked, which every worker must be told: asked again, those that were away hear of it too."""
        (look,) = await self.poll([remote])
        if isinstance(look, Reading) and look.state.complete:
            # Whether Celery takes a process for stopped or for lost is a race between two of its threads.
            lost = look.state is State.FAILED and look.message.startswith("WorkerLostError")
            return Reading(State.CANCELLED, message=STOPPED) if lost and self._signal else look
        miss = await self._revoke(remote)
        if miss or isinstance(look, Miss):
            return miss or look
        if look.state is State.PENDING:
            return Miss("unreachable", "No Celery worker has taken note of it yet.")
        told = STOPPED if self._signal else "It has begun, and cannot be stopped."
        return replace(look, message=told)

    async def find(self, job: str) -> str | Miss | None:
        """Return the task's id, if a worker has said anything of it. What waits in a queue cannot be looked for."""
        (look,) = await self.poll([job])
        if isinstance(look, Miss):
            return look
        if look.state is not State.PENDING:
            return job
        if self._twice:
            return None
        # The job ends here: should a worker come across its task after all, it must not run unseen.
        miss = await self._revoke(job)
        return miss or Miss("start_unknown", "It may have been sent, and Celery cannot tell whether it was.")

    async def open(self, remote: str, headers: Mapping[str, str]) -> File | Miss:
        return Miss("vanished", "A Celery task leaves no file.")

    async def aclose(self) -> None:
        await self._broker.aclose()
        await self._results.aclose()

    def _call(self, params: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return the task's name and keyword arguments."""
        if not self._chosen:
            return self._names[0], params
        name, kwargs = params.get("name"), params.get("kwargs", {})
        if name not in self._names:
            raise InvalidParams(f"params: expected name to be one of {', '.join(self._names)}, got {name!r}.")
        if not isinstance(kwargs, dict) or not params.keys() <= {"name", "kwargs"}:
            raise InvalidParams("params: expected a name, and kwargs as an object, and nothing else.")
        return str(name), kwargs

    def _backend_of(self, app: str) -> tuple[Any, str | None]:
        """Return the class of the app's result backend, and its URL."""
        try:
            backend, url = by_url(self._app.backend_cls or self._app.conf.result_backend, self._app.loader)
        except Exception as error:
            # Its text may have the URL in it, and that a password.
            raise ValueError(f"app: {app} has a result_backend that Celery refuses ({type(error).__name__}).") from None
        if issubclass(backend, DisabledBackend | RPCBackend):
            got = "rpc://, which answers only the process that asked" if issubclass(backend, RPCBackend) else "none"
            raise ValueError(f"app: expected {app} to have a result_backend that anybody can read, got {got}.")
        return backend, url

    def _route(self) -> None:
        for name in self._names:
            try:
                self._app.amqp.router.route(dict(self._options), name)
            except Exception as error:
                raise ValueError(f"options: no way for {name} ({type(error).__name__}).") from None

    def _link(self) -> Any:
        """Return a connection to the broker, one that gives up: an app's own waits for ever, and tries again."""
        link = self._app.connection_for_write(connect_timeout=self._connect_timeout)
        limits = {"max_retries": 1, "interval_start": 0.1, "interval_step": 0.1}
        if link.transport.driver_type == "redis":
            limits |= {"socket_timeout": self._timeout, "socket_connect_timeout": self._connect_timeout}
        elif link.transport.driver_name == "py-amqp":
            limits |= {"read_timeout": self._timeout, "write_timeout": self._timeout}
        link.transport_options = {**limits, **link.transport_options}
        try:
            link.default_channel  # noqa: B018 (connects)
        except BaseException:
            link.release()
            raise
        return link

    def _open(self) -> Any:
        """Return a result backend that gives up."""
        backend = self._backend(app=self._app, url=self._url)
        limits: Any = getattr(backend, "connparams", {})  # a Redis has them
        for key, limit in (("socket_timeout", self._timeout), ("socket_connect_timeout", self._connect_timeout)):
            if key in limits:
                limits[key] = min(limits[key] or limit, limit)
        return backend

    def _send(self, link: Any, name: str, kwargs: dict[str, Any], job: str) -> None:
        # Asked to ignore the result, this process does not subscribe to it; the header is what the worker goes by, and
        # overrides a task that is declared without one.
        self._app.send_task(
            name,
            kwargs=kwargs,
            task_id=job,
            connection=link,
            retry=False,  # it might be sent twice
            ignore_result=True,
            result_cls=_Sent,
            **{**self._options, "headers": {**self._options.get("headers", {}), "ignore_result": False}},
        )

    async def _revoke(self, job: str) -> Miss | None:
        what = {"task_id": job, "terminate": bool(self._signal), "signal": self._signal or "SIGTERM"}
        conf, control = self._app.conf, self._app.control

        def revoke(link: Any) -> None:
            # As `control.revoke` does it, but that takes one of the app's own connections, and tries for ever.
            once = _Once(self._app.amqp.Producer(link, auto_declare=False))
            named = {"type": "fanout", "serializer": conf.task_serializer, "producer_pool": once}
            control.Mailbox(conf.control_exchange, **named)(link).abcast("revoke", what)

        return await self._broker.call(revoke)


class _Once:
    """In the place of a pool: a producer that has one link, and publishes by it once."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer

    def acquire(self) -> AbstractContextManager[_Once]:
        return nullcontext(self)

    def publish(self, *args: Any, **options: Any) -> None:
        self._producer.publish(*args, **{**options, "retry": False})


class _Sent:
    """In the place of an AsyncResult, which would make this thread a result backend of its own."""

    def __init__(self, job: str) -> None:
        self.id = job


def _looks(backend: Any, remotes: Sequence[str], most: int) -> list[Look]:
    if not isinstance(backend, BaseKeyValueStoreBackend):
        return _one_by_one(backend, remotes)
    looks: list[Look] = []
    for begin in range(0, len(remotes), most):
        part = remotes[begin : begin + most]
        for remote, text in zip(part, _texts(backend, part), strict=True):
            try:
                # Decoded, and no more: the backend would make an exception of the name of its class.
                looks.append(look_of(None if text is None else backend.decode(text), remote))
            except Exception:  # whatever the app's serializer raises
                looks.append(_UNREADABLE)
    return looks


def _texts(backend: Any, remotes: Sequence[str]) -> Sequence[Any]:
    """Return the records of tasks as they are stored, with one question if the backend takes such."""
    keys = [backend.get_key_for_task(remote) for remote in remotes]
    try:
        found = backend.mget(keys)
    except NotImplementedError:
        found = (backend.get(key) for key in keys)
    return [found.get(key) for key in keys] if isinstance(found, Mapping) else list(found)


def _one_by_one(backend: Any, remotes: Sequence[str]) -> list[Look]:
    """Ask a backend for each task. A record that cannot be read spoils no other; several are a backend in trouble."""
    looks: list[Look] = []
    for remote in remotes:
        try:
            looks.append(look_of(backend.get_task_meta(remote, cache=False), remote))
        except Exception:
            looks.append(_UNREADABLE)
            if looks.count(_UNREADABLE) >= min(_UNREADABLE_MOST, len(remotes)):
                raise
    return looks


def _check(link: Any) -> None:
    """Ask a broker whether it is still there, where that is cheap: what is sent into a broken link may be heard."""
    if link.transport.driver_type == "redis":
        with link.default_channel.conn_or_acquire() as client:
            client.ping()


def _close(backend: Any) -> None:
    client = vars(backend).get("client")  # if it was ever used
    if client is not None and hasattr(client, "connection_pool"):
        client.connection_pool.disconnect()
