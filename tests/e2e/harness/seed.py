"""The seed API: an apk-conf file as WSO2 APK has it, never edited here."""
from harness.http import count

PATH = "/chat-service-prod-sand/1.0/chat/completions"
SECRET = "open-ai-secret"
NAME = "chat-service-api-prod-sand"
PRODUCTION, SANDBOX = "chat.example.com", "sandbox.chat.example.com"
EXACT = {"gpt-4o": 333, "o1-mini": 333, "gpt-4o-mini": 333}


def manifest(text, namespace, name="chat-service"):
    """The file's text below `spec:` of an API resource."""
    lines = "".join(f"  {line}\n" if line.strip() else "\n" for line in text.splitlines())
    return (f"apiVersion: gateway.rota.dev/v1alpha1\nkind: API\n"
            f"metadata:\n  name: {name}\n  namespace: {namespace}\nspec:\n{lines}")


def check_exact_share(address):
    """333 requests per model of 999, one client and 32, in both environments."""
    for clients in (1, 32):
        for host in (PRODUCTION, SANDBOX):
            assert count(address, PATH, 999, clients, host) == EXACT, (host, clients)
