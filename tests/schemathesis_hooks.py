"""A check of our own: no answer speaks of a fault of the host's own."""

import schemathesis


@schemathesis.check
def no_fault_of_the_host(ctx, response, case):
    if response.status_code < 500 or case.path == "/readyz":
        return
    code = response.json()["error"]["details"]["code"]
    assert code != "internal", f"a fault of the host's own: {response.text}"
