/* What a program does with the client; run against a real site. Writes what it saw as one line of JSON. */
import { Refused, TradingSite, type PositionOut } from "./tradingsite.ts";

const [address = "", token = ""] = process.argv.slice(2);
const site = new TradingSite({ site: address, token: () => token });
const seen: Record<string, unknown> = {};

async function refusal(work: Promise<unknown>): Promise<Refused> {
  try {
    await work;
  } catch (error) {
    if (error instanceof Refused) return error;
    throw error;
  }
  throw new Error("nobody refused");
}

const wanted = { instrument: "BTC-USD", side: "long", quantity: "0.25", stop_loss: "60000" } as const;
const call = { idempotencyKey: `journey-${token.slice(-8)}` };
const opened = (await site.positionsOpen(wanted, call)) as PositionOut;
const again = (await site.positionsOpen(wanted, call)) as PositionOut;
seen.opened = [opened.status, opened.quantity, opened.id === again.id];

const page = await site.positionsList({ status: "open", limit: 5 });
seen.listed = [page.total, page.results[0]?.legs[0]?.level];

const amended = await site.positionsAmendLevels(opened.id, { stop_loss: null, take_profit: "70000" });
seen.legs = amended.legs.filter((leg) => leg.status === "live").map((leg) => leg.kind);

let tag = "";
const placed = await site.ordersPlace({ ...wanted, kind: "limit", limit_price: "61000" });
const order = placed.order!;
await site.ordersShow(order.id, { seen: (answer) => (tag = answer.headers.get("ETag") ?? "") });
await site.ordersAmend(order.id, { limit_price: "60900" }, { ifMatch: tag });
const stale = await refusal(site.ordersAmend(order.id, { limit_price: "60800" }, { ifMatch: tag }));
seen.stale = [stale.status, stale.problem.type];

const wrong = await refusal(site.positionsOpen({ ...wanted, quantity: "0" }));
seen.wrong = [wrong.status, wrong.problem.errors.map((each) => each.field)];
const nobody = new TradingSite({ site: address });
seen.nobody = (await refusal(nobody.accountsList())).status;

const pair = await site.jwtOpen({ scope: "read" });
const paired = new TradingSite({ site: address, token: pair.access });
seen.paired = [(await paired.quotesList({ instrument: "BTC-USD" })).total, pair.scope];
seen.ended = (await paired.jwtEnd({ refresh: pair.refresh })) ?? "nothing";

const tries: number[] = [];
const busy = new TradingSite({
  site: address,
  token,
  fetch: async (input, init) => {
    tries.push(tries.length);
    if (tries.length > 1) return fetch(input, init);
    return new Response(JSON.stringify({ detail: "later" }), {
      status: 503,
      headers: { "Retry-After": "0", "Content-Type": "application/problem+json" },
    });
  },
});
seen.retried = [(await busy.instrumentsList()).total, tries.length];
tries.length = 0;
seen.never_twice = [(await refusal(busy.positionsOpen(wanted))).status, tries.length];

console.log(JSON.stringify(seen));
