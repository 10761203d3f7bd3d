// Talking to the gateway: one place for the session's token, errors in words, and the stream of events.
let csrf = null;
let onSignedOut = () => {};
let onChanged = () => {};
let settings = null; // a word that is another one when other settings hold

/** What the gateway answered instead of doing it. */
export class ApiError extends Error {
  constructor(status, body, requestId) {
    const error = body?.error;
    super(error?.message ?? `HTTP ${status}`);
    Object.assign(this, { status, body, code: error?.code, param: error?.param, requestId });
  }
}

/** Called when the session is over. */
export const whenSignedOut = (callback) => { onSignedOut = callback; };
/** Called when the gateway has read other settings while the page was open. */
export const whenChanged = (callback) => { onChanged = callback; };

/** Headers of a call in the name of the signed-in person. */
export const asOperator = () => (csrf ? { "x-csrf-token": csrf } : {});

const failed = async (response) => {
  const requestId = response.headers.get("x-request-id");
  let body = null;
  try { body = await response.json(); } catch { /* not ours: a proxy's page */ }
  if (response.status === 401 && csrf) { csrf = null; onSignedOut(); }
  return new ApiError(response.status, body, requestId);
};

/** A request; throws ApiError. `body` goes as JSON; `raw` gives the Response itself. */
export const api = async (path, { method = "GET", body, signal, raw } = {}) => {
  const headers = asOperator();
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const response = await fetch(path, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) });
  if (!response.ok) throw await failed(response);
  return raw ? response : response.json();
};

const taken = (session) => { csrf = session.csrf; return session; };
/** Who is here: {signed_in, open}. */
export const session = async () => taken(await api("/api/session"));
/** Sign in with {key} or {token}. */
export const signIn = async (credentials) => taken(await api("/api/session", { method: "POST", body: credentials }));
/** Sign out. */
export const signOut = async () => taken(await api("/api/session", { method: "DELETE" }));

const AGAIN_MS = 500, LOST_MS = 1500;
/** Follow topics: handlers by event name, and `state` with true or false for the connection. Silent while the page is
 * hidden. Returns what ends it. */
export const follow = (handlers, state = () => {}) => {
  const topics = Object.keys(handlers).join(",");
  let source = null;
  let left = false;
  let retry = 0, lost = 0;
  // Each stream ends after a while; the next one may be another process's, after a restart too.
  const again = async () => {
    try { if (!(await session()).signed_in) return onSignedOut(); } catch { /* away: try again */ }
    open();
  };
  const open = () => {
    if (source || document.hidden || left) return;
    source = new EventSource(`/api/events?topics=${topics}`);
    source.onopen = () => { clearTimeout(lost); lost = 0; state(true); };
    source.onerror = () => {
      lost ||= setTimeout(() => state(false), LOST_MS);
      close();
      retry = setTimeout(again, AGAIN_MS + Math.random() * AGAIN_MS);
    };
    source.addEventListener("settings", ({ data }) => {
      const before = settings;
      settings = data;
      if (before !== null && before !== data) onChanged();
    });
    for (const [name, handle] of Object.entries(handlers)) {
      source.addEventListener(name, (event) => handle(JSON.parse(event.data)));
    }
  };
  const close = () => { source?.close(); source = null; clearTimeout(retry); };
  const look = () => (document.hidden ? close() : open());
  document.addEventListener("visibilitychange", look);
  open();
  return () => { left = true; clearTimeout(lost); close(); document.removeEventListener("visibilitychange", look); };
};
