// Draws an instrument's candles and the person's positions, and keeps both up to date from the site's own API.
"use strict";
(() => {
    const box = document.getElementById("chart");
    const told = document.getElementById("chart-told");
    const { symbol, timeframe } = box.dataset;
    const seconds = Number(box.dataset.seconds);
    const step = box.dataset.step; // the price step, as plain digits
    const PAGE = 300;
    const MOST_LEVELS = 8; // open positions whose levels are drawn; more would cover the candles

    // Hours are the person's own; a candle of a day or more begins at midnight UTC wherever one is.
    const zone = seconds < 86400 ? box.dataset.zone || "UTC" : "UTC";
    const written = (parts) => {
        const format = new Intl.DateTimeFormat("en-GB", { timeZone: zone, hourCycle: "h23", ...parts });
        return (time) => format.format(new Date(time * 1000));
    };
    const hour = written({ hour: "2-digit", minute: "2-digit" });
    const day = written({ day: "numeric", month: "short" });
    const month = written({ month: "short", year: "numeric" });
    const instant = written({ day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });
    const { Time, TimeWithSeconds, DayOfMonth } = LightweightCharts.TickMarkType;
    function tick(time, kind) {
        if (kind === Time || kind === TimeWithSeconds) return hour(time);
        if (seconds >= 86400) return kind === DayOfMonth ? day(time) : month(time);
        return hour(time) === "00:00" ? day(time) : `${day(time)} ${hour(time)}`; // the library's days begin in UTC
    }

    const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const chart = LightweightCharts.createChart(box, {
        autoSize: true,
        // The library's logo comes with a style element that a strict policy refuses: the page names and links it.
        layout: { background: { color: "transparent" }, attributionLogo: false, fontFamily: "inherit" },
        timeScale: { timeVisible: seconds < 86400, secondsVisible: false, rightOffset: 6, tickMarkFormatter: tick },
        rightPriceScale: { borderVisible: false },
        localization: { locale: "en-GB", timeFormatter: instant },
    });
    const series = chart.addSeries(LightweightCharts.CandlestickSeries, {
        priceFormat: { type: "price", precision: (step.split(".")[1] || "").length, minMove: Number(step) },
    });
    const marks = LightweightCharts.createSeriesMarkers(series, []);

    let candles = new Map(); // start in seconds -> bar
    let older = null; // the query that goes on into the past
    let loading = false;
    let lines = [];
    let positions = [];

    function dress() {
        const [up, down, ink, grid] = ["--chart-up", "--chart-down", "--chart-ink", "--chart-grid"].map(colour);
        chart.applyOptions({
            layout: { textColor: ink },
            grid: { vertLines: { color: grid }, horzLines: { color: grid } },
            timeScale: { borderColor: grid },
        });
        series.applyOptions({
            upColor: up, downColor: down, wickUpColor: up, wickDownColor: down, borderVisible: false,
        });
        drawPositions();
    }

    async function ask(address, query) {
        const answer = await fetch(`${address}?${new URLSearchParams(query)}`, { credentials: "same-origin" });
        const body = await answer.json();
        if (!answer.ok) throw new Error(body.detail || answer.statusText);
        return body;
    }

    const bar = (row) => ({
        time: Date.parse(row.at) / 1000,
        open: Number(row.open), high: Number(row.high), low: Number(row.low), close: Number(row.close),
    });
    const askCandles = (more) => ask(box.dataset.candles, { instrument: symbol, timeframe, ...more });

    function redraw() {
        series.setData([...candles.values()].sort((a, b) => a.time - b.time));
        drawPositions();
    }

    async function start() {
        const page = await askCandles({ limit: PAGE });
        older = page.next;
        candles = new Map(page.results.map((row) => [bar(row).time, bar(row)]));
        redraw();
        say(page.results.at(-1));
    }

    async function goBack() {
        if (loading || !older) return;
        loading = true;
        try {
            const page = await askCandles({ ...older, limit: PAGE });
            older = page.next;
            for (const row of page.results) candles.set(bar(row).time, bar(row));
            redraw();
        } finally {
            loading = false;
        }
    }

    async function goOn() {
        const newest = Math.max(...candles.keys());
        const page = await askCandles({ limit: 5 });
        const rows = page.results.map(bar).filter((row) => !(row.time < newest));
        for (const row of rows) {
            const isNew = !candles.has(row.time);
            candles.set(row.time, row);
            series.update(row);
            if (isNew) drawPositions();
        }
        say(page.results.at(-1));
    }

    function say(last) {
        delete told.dataset.wrong;
        told.textContent = last ? `O ${last.open}  H ${last.high}  L ${last.low}  C ${last.close}` : "no candles yet";
    }

    async function readPositions() {
        positions = (await ask(box.dataset.positions, { instrument: symbol, limit: 200 })).results;
        drawPositions();
    }

    function drawPositions() {
        for (const line of lines) series.removePriceLine(line);
        const open = positions.filter((position) => position.status !== "closed").slice(0, MOST_LEVELS);
        lines = open.flatMap(levels).map((level) => series.createPriceLine(level));
        marks.setMarkers(markers());
    }

    function levels(position) {
        const style = { lineWidth: 1, lineStyle: LightweightCharts.LineStyle.Dashed, axisLabelVisible: false };
        const entry = {
            ...style, price: Number(position.entry_price), color: colour("--chart-out"),
            title: `#${position.id} ${position.side}`,
        };
        const ways = position.legs.filter((leg) => leg.status === "live" && leg.level !== null).map((leg) => ({
            ...style, price: Number(leg.level), title: "",
            color: colour(leg.kind === "take_profit" ? "--chart-up" : "--chart-down"),
        }));
        return [entry, ...ways];
    }

    // One sign per candle and kind, with a count: a hundred signs over one candle would say less.
    function markers() {
        const found = new Map();
        const first = Math.min(...candles.keys());
        const add = (at, kind, word) => {
            const time = Math.floor(Date.parse(at) / 1000 / seconds) * seconds;
            if (!(time >= first)) return;
            const mark = found.get(`${time} ${kind}`) || { time, kind, words: [] };
            mark.words.push(word);
            found.set(`${time} ${kind}`, mark);
        };
        for (const position of positions) {
            add(position.opened_at, position.side, "");
            for (const way of position.exits) {
                if (way.status === "done") add(way.closed_at, "out", way.reason.replaceAll("_", " "));
            }
        }
        return [...found.values()].sort((a, b) => a.time - b.time).map(sign);
    }

    function sign(mark) {
        const looks = {
            long: { position: "belowBar", shape: "arrowUp", color: colour("--chart-up") },
            short: { position: "aboveBar", shape: "arrowDown", color: colour("--chart-down") },
            out: { position: "aboveBar", shape: "circle", color: colour("--chart-out") },
        };
        const text = mark.words.length > 1 ? String(mark.words.length) : mark.words[0];
        return { time: mark.time, ...looks[mark.kind], text };
    }

    // Each job asks again when its last answer is in, so that a slow site is never asked twice at once.
    function repeat(job, pause) {
        const again = async () => {
            try {
                if (!document.hidden) await job();
            } catch (error) {
                told.dataset.wrong = "";
                told.textContent = `not up to date: ${error.message}`;
            }
            setTimeout(again, pause);
        };
        again();
    }

    dress();
    new MutationObserver(dress).observe(document.documentElement, { attributes: true, attributeFilter: ["class", "data-theme"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", dress);
    box.dispatchEvent(new CustomEvent("desk:chart", { detail: { series } }));
    chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
        if (range && range.from < 10) goBack().catch(() => {}); // the next look tries again
    });
    repeat(() => (candles.size ? goOn() : start()), 1000);
    repeat(readPositions, 3000);
})();
