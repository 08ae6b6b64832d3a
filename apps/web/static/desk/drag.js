// Handles on the chart for the stops and targets of open positions. A drag proposes; the question decides.
"use strict";
(() => {
    const layer = document.getElementById("handles");
    const box = document.getElementById("chart");
    if (!layer) return;
    const MOST = 12;
    const FIELDS = { stop: "stop_loss", target: "take_profit" };
    const step = Number(box.dataset.step);
    const places = (box.dataset.step.split(".")[1] || "").length;
    const handles = new Map(); // "stop 12" -> handle
    let series = null;

    const snapped = (price) => Math.max(Math.round(price / step) * step, step).toFixed(places);

    function levels() {
        const found = new Map();
        for (const row of document.querySelectorAll("[data-held]")) {
            for (const kind of ["stop", "target"]) {
                const level = row.dataset[kind === "stop" ? "dragStop" : "dragTarget"];
                if (level && found.size < MOST) found.set(`${kind} ${row.dataset.held}`, { kind, id: row.dataset.held, level });
            }
        }
        return found;
    }

    function follow() {
        const wanted = levels();
        for (const [key, handle] of handles) {
            if (!wanted.has(key) && !handle.moving) {
                handle.element.remove();
                handles.delete(key);
            }
        }
        for (const [key, level] of wanted) {
            if (!handles.has(key)) handles.set(key, make(level));
            const handle = handles.get(key);
            if (!handle.moving) {
                handle.level = level.level;
                place(handle, level.level);
            }
        }
    }

    function place(handle, price) {
        const at = series.priceToCoordinate(Number(price));
        if (at === null) return;
        const edge = Math.min(Math.max(at, 12), box.clientHeight - 38);
        const beyond = edge < at ? " ↓" : edge > at ? " ↑" : "";
        handle.element.style.top = `${edge}px`;
        handle.element.textContent = `⠿ #${handle.id} ${handle.kind} ${price}${beyond}`;
    }

    function make({ kind, id, level }) {
        const element = document.createElement("button");
        element.type = "button";
        element.className = `handle handle-${kind}`;
        element.id = `handle-${kind}-${id}`;
        element.textContent = `⠿ #${id} ${kind} ${level}`;
        element.title = `The ${kind} of position ${id}, in ${layer.dataset.unit}: drag it, or arrows and Enter; you are asked`;
        const handle = { element, kind, id, level, moving: false, proposed: level };
        element.addEventListener("pointerdown", (event) => begin(handle, event));
        element.addEventListener("pointermove", (event) => drag(handle, event));
        element.addEventListener("pointerup", () => drop(handle));
        element.addEventListener("pointercancel", () => leave(handle));
        element.addEventListener("keydown", (event) => press(handle, event));
        layer.append(element);
        return handle;
    }

    function begin(handle, event) {
        handle.element.setPointerCapture(event.pointerId);
        hold(handle);
        event.preventDefault();
        handle.element.focus();
    }

    function hold(handle) {
        if (!handle.moving) handle.proposed = handle.level;
        handle.moving = true;
        handle.element.classList.add("handle-moving");
    }

    function drag(handle, event) {
        if (!handle.moving || !handle.element.hasPointerCapture(event.pointerId)) return;
        const price = series.coordinateToPrice(event.clientY - box.getBoundingClientRect().top);
        if (price === null || price <= 0) return;
        handle.proposed = snapped(price);
        place(handle, handle.proposed);
    }

    function drop(handle) {
        if (!handle.moving) return;
        if (Number(handle.proposed) === Number(handle.level)) leave(handle);
        else ask(handle);
    }

    function leave(handle) {
        handle.moving = false;
        handle.element.classList.remove("handle-moving");
        follow();
    }

    function press(handle, event) {
        const direction = { ArrowUp: 1, ArrowDown: -1, PageUp: 20, PageDown: -20 }[event.key];
        if (direction) {
            hold(handle);
            handle.proposed = snapped(Number(handle.proposed) + direction * step);
            place(handle, handle.proposed);
        } else if (event.key === "Enter" && handle.moving) {
            drop(handle);
        } else if (event.key === "Escape" && handle.moving) {
            leave(handle);
        } else {
            return;
        }
        event.preventDefault();
    }

    function ask(handle) {
        const address = layer.dataset.levels.replace("/0/", `/${handle.id}/`);
        window.htmx.ajax("GET", `${address}?${FIELDS[handle.kind]}=${handle.proposed}`, { source: handle.element, target: "#dialog-body" });
    }

    document.body.addEventListener("desk:asked", () => { for (const handle of handles.values()) leave(handle); });
    box.addEventListener("desk:chart", (event) => {
        series = event.detail.series;
        setInterval(follow, 150);
    });
})();
