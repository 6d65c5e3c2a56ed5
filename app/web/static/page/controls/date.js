// @ts-check
/** Step type `date`: the browser's date field; answers are YYYY-MM-DD. */

import { momentType } from "./moments.js";
import { parseSpokenDate } from "./spoken-date.js";

export const date = momentType({
  name: "date",
  inputType: "date",
  last: "9999-12-31",
  toIso: (value) => `${value}T00:00`,
  format: { dateStyle: "long" },
  parse: parseSpokenDate,
});
