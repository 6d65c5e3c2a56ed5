// @ts-check
/** Load the page again when Back or Forward shows it from memory: meanwhile the person may have signed out. */

addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});
