// Keys of a page. They act wherever the focus is, except on what has a use for them itself.

// actions: by key, as KeyboardEvent.key has it. repeating: those that act again and again while they are held.
export function onKeys(actions, repeating = []) {
  document.addEventListener("keydown", (event) => {
    const act = actions[event.key];
    const taken = event.ctrlKey || event.metaKey || event.altKey || event.target.matches("button, select");
    if (!act || taken) return;
    event.preventDefault();
    if (!event.repeat || repeating.includes(event.key)) act();
  });
  // What the pointer has used lets go of the focus, else space would press the last button again.
  document.addEventListener("click", (event) => {
    if (event.detail) event.target.closest("button, input")?.blur();
  });
}
