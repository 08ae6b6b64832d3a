/* Each statement is a mistake that the types have to find: a comment without its mistake is an error of its own. */
import { TradingSite } from "./tradingsite.ts";

const site = new TradingSite({ site: "https://trade.example" });
// @ts-expect-error a number where digits would get lost
await site.positionsOpen({ instrument: "BTC-USD", side: "long", quantity: 0.25 });
// @ts-expect-error a side that does not exist
await site.positionsOpen({ instrument: "BTC-USD", side: "up", quantity: "0.25" });
// @ts-expect-error without an instrument
await site.positionsOpen({ side: "long", quantity: "0.25" });
// @ts-expect-error a field that does not exist
await site.positionsOpen({ instrument: "BTC-USD", side: "long", quantity: "0.25", stoploss: "1" });
// @ts-expect-error a filter that does not exist
await site.positionsList({ stauts: "open" });
// @ts-expect-error without its number
await site.ordersShow();
// @ts-expect-error what may be missing, used as if it were there
(await site.positionsShow(1)).closed_at.slice(0, 4);
// @ts-expect-error an amount, used as a number
(await site.positionsShow(1)).realised_pnl * 2;
// @ts-expect-error without where the site is
new TradingSite({ token: "x" });
