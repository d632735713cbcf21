(() => {
  const open = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    for (let node = target; node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true;
    const inside = target.querySelector(":scope > details");
    if (inside) inside.open = true;
    target.scrollIntoView();
  };
  addEventListener("hashchange", open);
  open();
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    closed.forEach((one) => { one.open = true; });
  });
  addEventListener("afterprint", () => closed.forEach((one) => { one.open = false; }));
  document.getElementById("open-all")?.addEventListener("click", (event) => {
    const all = [...document.querySelectorAll("section > details")], now = all.some((one) => !one.open);
    all.forEach((one) => { one.open = now; });
    event.target.textContent = now ? "Close all sections" : "Open all sections";
  });
  for (const box of document.querySelectorAll(".interactive")) {
    const svg = box.querySelector("svg"), said = box.querySelector("output");
    const shapes = [...svg.querySelectorAll("[data-told]")], columns = Number(svg.dataset.columns);
    let at = -1;
    const choose = (place) => {
      shapes[at]?.classList.remove("chosen");
      at = place;
      shapes[at].classList.add("chosen");
      said.textContent = shapes[at].dataset.told;
    };
    svg.addEventListener("pointerover", (event) => {
      const place = shapes.indexOf(event.target.closest("[data-told]"));
      if (place >= 0) choose(place);
    });
    svg.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns || 1, ArrowUp: -(columns || 1) }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      choose(Math.min(shapes.length - 1, Math.max(0, at < 0 ? 0 : at + step)));
    });
    box.querySelector("input")?.addEventListener("input", (event) => {
      const word = event.target.value.trim().toLowerCase();
      let count = 0;
      for (const shape of shapes) {
        const found = word !== "" && shape.dataset.told.toLowerCase().split(/[^\p{L}\p{N}'-]+/u).includes(word);
        shape.classList.toggle("found", found);
        count += found;
      }
      said.textContent = word === "" ? "" : `${count} pairs with “${word}”`;
    });
    box.querySelector("button").addEventListener("click", () => {
      const copy = svg.cloneNode(true);
      copy.setAttribute("xmlns", "http" + "://www.w3.org/2000/svg");
      copy.setAttribute("font-family", "sans-serif");
      const link = document.createElement("a");
      link.download = `${box.dataset.name}.svg`;
      link.href = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(copy.outerHTML)}`;
      link.click();
    });
  }
})();
