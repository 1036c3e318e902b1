// The simulator's control calls, and its stream of what happens. The token comes after the # of the printed address.

const KEY = "sim-token";

export function takeToken(given = decodeURIComponent(location.hash.slice(1))) {
  if (given) {
    localStorage.setItem(KEY, given.trim());
    history.replaceState(null, "", location.pathname + location.search);
  }
}

const authorization = () => ({ Authorization: `Bearer ${localStorage.getItem(KEY) ?? ""}` });

/** Thrown for a refused call; `status` is of HTTP. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export async function call(method, path, wish) {
  const answer = await fetch(`/_sim/${path}`, {
    method,
    headers: { ...authorization(), "Content-Type": "application/json" },
    body: wish === undefined ? undefined : JSON.stringify(wish),
  });
  const value = await answer.json();
  if (!answer.ok) throw new Refused(answer.status, value.error);
  return value;
}

export const act = (openid, action, wish = {}) => call("POST", `users/${encodeURIComponent(openid)}/${action}`, wish);

export function entriesOf(chat) {
  const path =
    chat.kind === "room"
      ? `rooms/${chat.platform}/${encodeURIComponent(chat.id.slice(chat.platform.length + 1))}`
      : `users/${encodeURIComponent(chat.id)}/transcript`;
  return call("GET", path).then((answer) => answer.entries);
}

/** Calls `opened()` once the line is there, then `heard(kind, value)` for each event; returns when the line ends. */
export async function listen(opened, heard) {
  const answer = await fetch("/_sim/stream", { headers: authorization() });
  if (!answer.ok) throw new Refused(answer.status, "stream");
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  // Only from here on is nothing missed: what there was before is read now.
  await opened();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const found = /^event: (\w+)\ndata: (.*)$/s.exec(block);
      if (found) heard(found[1], JSON.parse(found[2]));
    }
  }
}
