lock:
	uv pip compile --universal --generate-hashes --no-emit-index-url --no-strip-extras --python-version 3.11 \
	  --extra dev --extra embedded pyproject.toml -o requirements.lock
