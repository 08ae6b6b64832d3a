// Keeps the page up to date: prices and events come over the gateway, the page itself is asked for again after an event.
// Without the gateway it asks every few seconds; when nothing answers, it says at once that its figures are old.
"use strict";
(() => {
    const SILENT = 8000; // milliseconds without a sign after which the figures count as old
    const PING = 3000;
    const POLL = 3000; // between two looks without the gateway
    const REFRESH = 5000; // between two looks with it, when nothing happens
    const MOST = 60; // channels in one message, which may have 4096 bytes
    const SOON = 400; // events that come together lead to one look
    const APART = 1500; // between two looks however much happens
    const contact = document.getElementById("contact");
    const banner = document.getElementById("stale");
    const scrolled = new Map();
    let socket = null;
    let wait = 500;
    let heard = Date.now();
    let pinged = 0;
    let looked = Date.now();
    let looking = false;
    let soon = null;
    let failing = false; // the last look failed
    let signedOut = false;
    let subscribed = new Set();

    // --- the gateway ---------------------------------------------------------------------------------------------
    function connect() {
        const scheme = location.protocol === "https:" ? "wss" : "ws";
        socket = new WebSocket(`${scheme}://${location.host}/ws/v1`);
        socket.addEventListener("message", (event) => hear(JSON.parse(event.data)));
        socket.addEventListener("close", lost);
    }

    function lost() {
        socket = null;
        subscribed = new Set();
        setTimeout(connect, wait + Math.random() * 250);
        wait = Math.min(wait * 2, 15000);
        look();
        tell();
    }

    function hear(message) {
        heard = Date.now();
        if (message.type === "welcome") {
            wait = 500;
            subscribe(["events"]);
            look(); // what happened while nobody listened
        } else if (message.type === "quote") {
            window.deskPrices.put(message.data);
        } else if (message.event !== undefined) {
            soon ??= setTimeout(() => {
                soon = null;
                look();
            }, Math.max(SOON, looked + APART - Date.now()));
        }
        tell();
    }

    function subscribe(more) {
        const wanted = [...more, ...window.deskPrices.symbols().map((symbol) => `quotes:${symbol}`)];
        const fresh = wanted.filter((name) => !subscribed.has(name));
        if (!isOpen()) return;
        for (let at = 0; at < Math.min(fresh.length, 10 * MOST); at += MOST) {
            const channels = fresh.slice(at, at + MOST);
            for (const name of channels) subscribed.add(name);
            socket.send(JSON.stringify({ type: "subscribe", channels }));
        }
    }

    const isOpen = () => socket !== null && socket.readyState === WebSocket.OPEN;

    // --- the page ------------------------------------------------------------------------------------------------
    function look() {
        if (looking || signedOut || document.hidden) return;
        if (isOpen() && document.querySelector(".act :hover, dialog[open]")) return; // rows stay under the pointer
        looking = true;
        looked = Date.now();
        if (document.getElementById("live")) {
            window.htmx.trigger(document.body, "desk:refresh");
        } else {
            fetch("/health/live", { cache: "no-store" }).then((answer) => done(answer.ok), () => done(false));
        }
    }

    function done(well) {
        looking = false;
        failing = !well;
        if (well) heard = Date.now();
        tell();
    }

    document.addEventListener("htmx:beforeSwap", (event) => {
        if (event.detail.target.id !== "live") return;
        if (!event.detail.xhr.responseText.includes('id="live"')) {
            event.detail.shouldSwap = false;
            signedOut = event.detail.xhr.status < 400;
        }
        scrolled.clear();
        for (const box of document.querySelectorAll(".scroll[id]")) scrolled.set(box.id, box.scrollLeft);
    });

    document.addEventListener("htmx:afterSettle", (event) => {
        if (event.detail.target.id !== "live") return;
        for (const [id, left] of scrolled) {
            const box = document.getElementById(id);
            if (box) box.scrollLeft = left;
        }
        subscribe([]);
    });

    document.addEventListener("htmx:afterRequest", (event) => {
        // By its target: the element that asked was replaced by the answer.
        if (event.detail.target.id === "live") done(event.detail.successful && !signedOut);
        else if (!event.detail.successful && event.detail.xhr.status === 0) done(false); // a question that nobody answers
    });

    // --- what the person is told ---------------------------------------------------------------------------------
    function tell() {
        const silent = Date.now() - heard;
        const stale = signedOut || failing || silent >= SILENT || !navigator.onLine;
        show(stale ? "stale" : isOpen() ? "live" : "polling");
        document.documentElement.toggleAttribute("data-stale", stale);
        banner.hidden = !stale;
        if (signedOut) say("You are signed out here, so nothing is up to date any more. Load the page again to sign in.");
        else if (stale) say(`Not up to date: the site has not answered since ${new Date(heard).toLocaleTimeString("en-GB")} on this device’s clock. Stops and targets go on without this page.`);
    }

    function show(word) {
        if (contact.dataset.contact === word) return;
        contact.dataset.contact = word;
        contact.lastElementChild.textContent = { live: "live", polling: "asking every 3 s", stale: "not up to date" }[word];
    }

    function say(text) {
        if (banner.textContent !== text) banner.textContent = text;
    }

    function tick() {
        const now = Date.now();
        if (isOpen() && now - pinged > PING) {
            pinged = now;
            socket.send('{"type": "ping"}');
        }
        if (now - looked > (isOpen() ? REFRESH : POLL)) look();
        if (looking && now - looked > 2 * SILENT) looking = false;
        tell();
    }

    window.addEventListener("offline", tell);
    window.addEventListener("online", look);
    document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
    connect();
    setInterval(tick, 1000);
})();
