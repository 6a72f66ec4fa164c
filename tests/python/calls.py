"""Which methods have answered, seen from the client."""

import grpc


class _Answers:
    """A stream of answers that says when the first has come; some streams never end by themselves."""

    def __init__(self, call, first):
        self._call = call
        self._first = first

    def __iter__(self):
        return self

    def __next__(self):
        answer = next(self._call)
        self._first()
        return answer

    def __getattr__(self, name):
        return getattr(self._call, name)


class Recorder(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Notes every method that gave an answer. It changes nothing of a call or of its channel."""

    def __init__(self):
        self.answered = set()

    def _note(self, details):
        self.answered.add(details.method.removeprefix("/"))

    def _one(self, details, call):
        def ended(call):
            if call.code() == grpc.StatusCode.OK:
                self._note(details)

        call.add_done_callback(ended)
        return call

    def _many(self, details, call):
        return _Answers(call, lambda: self._note(details))

    def intercept_unary_unary(self, continuation, client_call_details, request):
        return self._one(client_call_details, continuation(client_call_details, request))

    def intercept_stream_unary(self, continuation, client_call_details, request_iterator):
        return self._one(client_call_details, continuation(client_call_details, request_iterator))

    def intercept_unary_stream(self, continuation, client_call_details, request):
        return self._many(client_call_details, continuation(client_call_details, request))

    def intercept_stream_stream(self, continuation, client_call_details, request_iterator):
        return self._many(client_call_details, continuation(client_call_details, request_iterator))
