// Puts a price that just came into the page: the price itself, gains, distances, the mark between stop and target.
"use strict";
(() => {
    const shown = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });

    function signed(value) {
        const sign = value > 0 ? "+" : value < 0 ? "\u2212" : "+";
        return sign + shown.format(Math.abs(value)).replaceAll(",", "\u202f");
    }

    function write(where, text) {
        if (where && where.textContent !== text) where.textContent = text;
    }

    function tone(element, value) {
        element.className = `num tone-${value > 0 ? "good" : value < 0 ? "bad" : "idle"}`;
    }

    function put(quote) {
        const symbol = CSS.escape(quote.instrument);
        for (const element of document.querySelectorAll(`[data-price="${symbol}"]`)) write(element, quote.price);
        for (const name of ["bid", "ask"]) {
            if (quote[name] === null) continue;
            for (const element of document.querySelectorAll(`[data-${name}="${symbol}"]`)) write(element, quote[name]);
        }
        for (const row of document.querySelectorAll(`[data-held][data-symbol="${symbol}"]`)) move(row, Number(quote.price));
        for (const total of document.querySelectorAll("[data-total]")) add(total);
    }

    // What all rows of a currency would bring together.
    function add(total) {
        let sum = 0;
        for (const row of document.querySelectorAll(`[data-held][data-currency="${CSS.escape(total.dataset.total)}"]`)) {
            sum += Number(row.dataset.worth || 0);
        }
        gained(total, sum);
    }

    function gained(place, gain) {
        place.replaceChildren(Object.assign(document.createElement("span"), { textContent: signed(gain) }));
        tone(place.firstChild, gain);
    }

    function move(row, price) {
        const { sign, remaining, cost, stop, target } = row.dataset;
        const gain = (price * remaining - cost) * sign;
        row.dataset.worth = gain;
        gained(row.querySelector("[data-gain]"), gain);
        if (Number(cost)) write(row.querySelector("[data-gain-rate]"), `${signed((gain / cost) * 100)} %`);
        distance(row.querySelector("[data-to-stop]"), stop, price, -sign);
        distance(row.querySelector("[data-to-target]"), target, price, sign);
        const mark = row.querySelector("[data-now]");
        if (mark && stop && target) {
            const share = ((price - stop) / (target - stop)) * 100;
            mark.setAttribute("cx", `${Math.min(Math.max(share, 0), 100).toFixed(2)}%`);
        }
    }

    function distance(where, level, price, ahead) {
        if (!where || !level) return;
        const share = (((level - price) * ahead) / price) * 100;
        write(where, `${share < 0 ? "\u2212" : ""}${shown.format(Math.abs(share))} %`);
    }

    function symbols() {
        const found = new Set();
        for (const element of document.querySelectorAll("[data-price]")) found.add(element.dataset.price);
        return [...found];
    }

    window.deskPrices = { put, symbols };
})();
