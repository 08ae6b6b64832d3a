/** What a request may bring beside its values. */
export interface Call {
  /** Your own name for a request that enters: sent again, it enters nothing new. */
  idempotencyKey?: string;
  /** The ETag of what you looked at; if it has changed since, the request is refused with 412. */
  ifMatch?: string;
  signal?: AbortSignal;
  /** Sees the answer before it is read: its status, its ETag, what is left of your limits. */
  seen?: (answer: Response) => void;
}

export interface Settings {
  /** Where the site is, like "https://trade.example". */
  site: string;
  /** An API token or the short token of a pair, or what returns the present one; nothing uses the session. */
  token?: string | (() => string | Promise<string>);
  /** What sends requests, if not the platform's own. */
  fetch?: typeof fetch;
  /** How often a request is sent again after 429 and 503, when that cannot do a thing twice. 2 if left out. */
  retries?: number;
  /** The longest wait between two tries, in seconds; a longer one is left to you. 30 if left out. */
  longestWait?: number;
}

/** The site said no, or not now: `status`, and `problem` with every field that is wrong. */
export class Refused extends Error {
  readonly status: number;
  readonly problem: ProblemOut;
  /** Seconds to wait, as the site says; null where it says nothing. */
  readonly retryAfter: number | null;

  constructor(status: number, problem: ProblemOut, retryAfter: number | null) {
    super(problem.detail);
    this.name = "Refused";
    this.status = status;
    this.problem = problem;
    this.retryAfter = retryAfter;
  }
}

type Value = string | number | boolean | null | undefined;

function part(value: string | number): string {
  return String(value).split("/").map(encodeURIComponent).join("/");
}

function asked(query: Record<string, Value>): string {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null);
  const words = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return words ? `?${words}` : "";
}

async function problemOf(answer: Response): Promise<ProblemOut> {
  const kind = answer.headers.get("Content-Type") ?? "";
  if (kind.includes("json")) return (await answer.json()) as ProblemOut;
  const title = answer.statusText;
  return { type: "about:blank", title, status: answer.status, detail: `${answer.status} ${title}`, errors: [] };
}

function contentOf(answer: Response): Promise<unknown> {
  if (answer.status === 204) return Promise.resolve(undefined);
  return (answer.headers.get("Content-Type") ?? "").includes("json") ? answer.json() : answer.blob();
}

function pause(seconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((done, fail) => {
    if (signal?.aborted) return fail(signal.reason);
    const stop = () => (clearTimeout(clock), fail(signal?.reason));
    const clock = setTimeout(() => (signal?.removeEventListener("abort", stop), done()), seconds * 1000);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

class Sender {
  private readonly settings: Settings;

  constructor(settings: Settings) {
    this.settings = settings;
  }

  protected async send<T>(
    method: string,
    path: string,
    query: Record<string, Value>,
    body: unknown,
    call: Call,
  ): Promise<T> {
    const { site, retries = 2, longestWait = 30 } = this.settings;
    const again = method === "GET" || call.idempotencyKey !== undefined;
    for (let tried = 0; ; tried += 1) {
      const init = { method, headers: await this.headers(body, call), signal: call.signal ?? null };
      const sends = this.settings.fetch ?? fetch;
      const answer = await sends(
        site.replace(/\/$/, "") + path + asked(query),
        body === undefined ? init : { ...init, body: JSON.stringify(body) },
      );
      call.seen?.(answer);
      if (answer.ok) return (await contentOf(answer)) as T;
      const said = answer.headers.get("Retry-After");
      const wait = said === null ? null : Number(said);
      const problem = await problemOf(answer);
      const later = answer.status === 429 || answer.status === 503;
      if (!later || !again || tried >= retries || (wait ?? 1) > longestWait) {
        throw new Refused(answer.status, problem, wait);
      }
      await pause(wait ?? 1, call.signal);
    }
  }

  private async headers(body: unknown, call: Call): Promise<Record<string, string>> {
    const { token } = this.settings;
    const text = typeof token === "function" ? await token() : token;
    return {
      Accept: "application/json",
      ...(text === undefined ? {} : { Authorization: `Bearer ${text}` }),
      ...(body === undefined ? {} : { "Content-Type": "application/json" }),
      ...(call.idempotencyKey === undefined ? {} : { "Idempotency-Key": call.idempotencyKey }),
      ...(call.ifMatch === undefined ? {} : { "If-Match": call.ifMatch }),
    };
  }
}
