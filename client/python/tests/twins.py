"""Both clients behind the same calls, so that each test is of both; and which methods were called."""

import asyncio
import inspect

#: Methods that were called, as `items.get`.
called: set[str] = set()


class Twin:
    """A client, or a part of one; what is asyncio's runs until it is done."""

    def __init__(self, target, loop, path=""):
        self._target, self._loop, self._path = target, loop, path

    def __getattr__(self, name):
        value = getattr(self._target, name)
        path = f"{self._path}{name}"
        if not callable(value):
            return Twin(value, self._loop, f"{path}.") if type(value).__module__.startswith("lapel._") else value

        def call(*args, **kwargs):
            called.add(path)
            return self._done(value(*args, **kwargs))

        return call

    def _done(self, outcome):
        if inspect.isawaitable(outcome):
            return self._loop.run_until_complete(outcome)
        if inspect.isasyncgen(outcome):
            return self._each(outcome)
        return outcome

    def _each(self, answers):
        try:
            while True:
                yield self._loop.run_until_complete(anext(answers))
        except StopAsyncIteration:
            return
        finally:
            self._loop.run_until_complete(answers.aclose())


def public_methods(part, path=""):
    """The names of all methods that users may call."""
    for name, value in inspect.getmembers(part):
        if name.startswith("_") or name == "stubs":
            continue
        if callable(value):
            yield f"{path}{name}"
        elif type(value).__module__.startswith("lapel._"):
            yield from public_methods(value, f"{path}{name}.")


def twin(kind, make):
    """A client of a kind, `sync` or `asyncio`, and what ends it."""
    if kind == "sync":
        client = make(False)
        return Twin(client, None), client.close
    loop = asyncio.new_event_loop()

    async def made():
        return make(True)

    client = loop.run_until_complete(made())

    def end():
        loop.run_until_complete(client.close())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    return Twin(client, loop), end
