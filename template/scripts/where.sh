#!/bin/sh
# What to look at once everything is up. Usage: where.sh APP_ADDRESS MOCK_ADDRESS [DEBUG_ADDRESS] (host:port)
set -eu
cat <<TEXT

  API docs    http://$1/docs
  mock LLM    http://$2/_mock/requests   (what the service asked it)
  try         curl -s http://$1/v1/chat -H 'content-type: application/json' \\
                -d '{"messages": [{"role": "user", "content": "Hello"}]}'
${3:+  debugger    $3   (VS Code: Run and Debug, "Attach")
}
  Edit a file under src/ and it is live. Ctrl-C stops everything.

TEXT
