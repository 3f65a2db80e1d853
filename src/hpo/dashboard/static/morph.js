// Make the tree of one element that of another, and leave alone what is the same: focus, selections and open
// details stay. Children are matched by id or data-key, else by their place. What is marked data-keep belongs to
// another script: its attributes are taken over, its content is not.

export function morph(from, to) {
  if (from.isEqualNode(to)) return;
  takeAttributes(from, to);
  if (from.hasAttribute("data-keep")) return;
  takeChildren(from, to);
}

function takeAttributes(from, to) {
  for (const { name } of [...from.attributes]) {
    if (!to.hasAttribute(name) && !isOpened(from, name)) from.removeAttribute(name);
  }
  for (const { name, value } of to.attributes) {
    if (from.getAttribute(name) !== value && !isOpened(from, name)) from.setAttribute(name, value);
  }
  if (from instanceof HTMLInputElement && from !== document.activeElement) {
    if (from.type === "checkbox" && !from.closest("details")) from.checked = to.hasAttribute("checked");
    else if (from.type === "search") from.value = to.getAttribute("value") ?? "";
  }
}

// Whoever reads opens and closes details.
function isOpened(element, name) {
  return name === "open" && element instanceof HTMLDetailsElement;
}

function takeChildren(from, to) {
  const known = new Map([...from.children].filter(key).map((child) => [key(child), child]));
  let place = from.firstChild;
  for (const wanted of [...to.childNodes]) {
    const found = key(wanted) ? known.get(key(wanted)) : unkeyed(place, wanted);
    if (!found) {
      from.insertBefore(document.importNode(wanted, true), place);
      continue;
    }
    if (found === place) place = place.nextSibling;
    else from.insertBefore(found, place);
    if (found.nodeType === Node.ELEMENT_NODE) morph(found, wanted);
    else if (found.data !== wanted.data) found.data = wanted.data;
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

function key(node) {
  return node.nodeType === Node.ELEMENT_NODE ? node.id || node.dataset.key : "";
}

function unkeyed(place, wanted) {
  return place && !key(place) && place.nodeType === wanted.nodeType && place.nodeName === wanted.nodeName ? place : null;
}
