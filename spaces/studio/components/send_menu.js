// The menu of a result: props.value is {places: [{title, text}]}, or null while there is nothing to send.
const button = element.querySelector(".opens-menu");
const places = () => props.value?.places ?? [];
const update = () => {
  encoreMenu.close(button);
  button.disabled = !places().length;
};
encoreMenu.attach(button, places, ({ title }) => trigger("choose", { title }), "Send to");
watch("value", update);
update();
