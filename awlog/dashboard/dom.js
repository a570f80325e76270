// Making elements. Text only ever becomes text: whatever is stored, nothing of it is read as markup.

const NEVER = new Set(["innerHTML", "outerHTML", "srcdoc", "style"]);

/** An element with properties (or attributes) and children: nodes, texts, lists of them; null and false are left out. */
export function h(tag, props = {}, ...children) {
  return filled(document.createElement(tag), props, children);
}

/** As `h`, for SVG. */
export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** A text that came from an event or a name: set apart, so that its direction marks move nothing around it. */
export function stored(text, props = {}) {
  return h("bdi", { ...props, class: `stored ${props.class ?? ""}` }, text);
}

/** Sets a text if it is another one: screen readers and selections are left alone otherwise. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function replace(parent, ...children) {
  parent.replaceChildren(...usable(children));
}

function filled(node, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (NEVER.has(name)) throw new Error(`${name} is never set`);
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.className = value;
    else if (name === "dataset") Object.assign(node.dataset, value);
    else if (name in node && !name.includes("-") && name !== "list" && name !== "form" && name !== "role") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...usable(children));
  return node;
}

const usable = (children) => children.flat(2).filter((child) => child !== null && child !== undefined && child !== false);
