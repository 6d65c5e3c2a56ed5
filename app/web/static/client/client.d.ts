/**
 * Types of client.js (docs/browser-client.md).
 *
 * Everything here is public. The other modules of this folder are internal.
 */

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

export type RejectCode =
  | "not_current"
  | "invalid_answer"
  | "confirm"
  | "required"
  | "at_start"
  | "completed"
  | "expired"
  | "invalid_language";
export type ErrorCode = "malformed" | "unknown_type" | "too_large" | "unauthorized" | "rate_limited" | "unavailable" | "quota";

export interface Option {
  /** Sent as the answer, in this JSON type. */
  value: string | number;
  label: string;
  audio?: string | null;
  image?: Image;
  html?: { label?: string };
  /** In `choices`: no other option can be chosen with this one. */
  exclusive?: boolean;
  /** The answer is `{"value": value, "text": text}`, with a text of 0 to 1,000 characters. */
  other?: boolean;
  /** Keeps its place where the order is random. */
  fixed?: boolean;
}

/** A file of `GET /media/{file}`. */
export interface Image {
  file: string;
  alt: string;
}

/** A step of the survey file, with its defaults and without its rules. */
export interface Step {
  id: string;
  /**
   * `choice`, `choices`, `text`, `number`, `scale`, `date`, `boolean`, `info`, `time`, `datetime`, `month`, `email`,
   * `phone`, `ranking`, `page` or `grid`; newer servers may add types.
   */
  type: string;
  prompt: string;
  /** Spoken in audio mode instead of the prompt. */
  audio?: string | null;
  required?: boolean;
  /** Shown below the prompt. */
  help?: string;
  image?: Image;
  /** Shown as the answer of an unanswered step; neither draft nor answer until it is sent. */
  default?: Json;
  /** HTML of texts by field, if the survey has Markdown: p, em, strong, ul, ol, li, br and a. */
  html?: { prompt?: string; help?: string; [field: string]: string | undefined };
  options?: Option[];
  min_choices?: number | null;
  max_choices?: number | null;
  /** How the options are shown; default: `list`, or `search` from 12 options on. */
  display?: "list" | "dropdown" | "search" | "buttons";
  /** In code points. */
  max_length?: number | null;
  /** An RE2 pattern that matches the whole answer. */
  pattern?: string | null;
  min?: number | string | null;
  max?: number | string | null;
  integer?: boolean;
  /** The most digits behind the decimal point. */
  decimals?: number;
  unit?: string | null;
  /** An example, shown in the empty field; it is no label. */
  placeholder?: string;
  min_label?: string | null;
  max_label?: string | null;
  /** `random`: the options are in the participant's own order; those of `GET /api/surveys/{id}` are not. */
  order?: "random";
  /** Of a page: steps of other types but grid; the answer is an object from their ids to their answers. */
  fields?: Step[];
  /** Of a field that reads others of its page: it is shown if this CEL expression holds for what is entered. */
  show_if?: string;
  /** Of a grid: the answer is an object from their ids to values of `options`, or to lists of them if `multiple`. */
  rows?: { id: string; label: string; audio?: string | null }[];
  multiple?: boolean;
  /** The steps whose answers decide what this step looks like. */
  depends_on?: string[];
  /** In `GET /api/surveys/{id}` only: the next step, or `end`, whatever the answer; null if it depends on answers. */
  leads_to?: string | null;
  /** In `GET /api/surveys/{id}` only: the other steps whose answers decide the next step; null: any. */
  reads?: string[] | null;
}

export interface Session {
  user_id: string;
  survey_id: string;
  /** The revision of the survey that the session follows; null if the survey is unknown. */
  survey_revision: string | null;
  status: "in_progress" | "completed" | "expired";
  /** `end` when completed. */
  current_step: string;
  /** Answers by step. */
  answers: Record<string, Json>;
  /** The steps before the current one, oldest first. */
  step_history: string[];
  is_audio_mode: boolean;
  /** Of the survey's texts, as a BCP 47 tag; null if the survey is unknown. */
  language: string | null;
  /** What was known before the first question, by name. */
  parameters?: Record<string, Json>;
  /** What is computed from the answers, by name; null where one that it needs is missing. */
  values?: Record<string, Json>;
  /** The unsubmitted answer to the current step; null without one. */
  draft: Json;
  session_data: Record<string, Json> | null;
}

/** What the survey says at the end; the first entry of its `end` that applies. */
export interface Ending {
  title: string | null;
  text: string | null;
  /** HTML of the text, if the survey has Markdown: p, em, strong, ul, ol, li, br and a. */
  html: string | null;
  /** An https address to continue on. */
  redirect: string | null;
  /** Whether to show what the participant answered. */
  summary: boolean;
}

interface Snapshot {
  session: Session;
  /** The current step; null when completed. */
  step: Step | null;
  /** 0 to 1; never falls while the participant moves forward. */
  progress: number;
  /** Of a completed session whose survey has an ending that applies. */
  ending?: Ending | null;
}

/** The session, sent at the start of each connection. */
export interface StateMessage extends Snapshot {
  type: "state";
  version: number;
  /** Whether the session existed before this connection. */
  resumed: boolean;
}

/** The command is committed. */
export interface AckMessage extends Snapshot {
  type: "ack";
  id: string;
  /** The session's version after the command. */
  version: number;
  /** The command had been committed earlier and was not applied again; `session` is the present one. */
  duplicate: boolean;
}

/** The command is accepted but not yet committed; an ack or a reject follows. */
export interface PendingMessage extends Snapshot {
  type: "pending";
  id: string;
}

/**
 * The command breaks a rule of the survey; nothing was saved. With the code `confirm` the answer is unusual, as the message
 * says: send it again with `confirmed`, if the participant says that it is right.
 */
export interface RejectMessage {
  type: "reject";
  id: string;
  code: RejectCode;
  /** For the participant. */
  message: string;
  /** Of an answer to a page or grid: what is wrong, by field or row. */
  fields?: Record<string, string>;
  step?: Step | null;
}

/** Another connection changed the session. */
export interface SyncMessage extends Snapshot {
  type: "sync";
  version: number;
}

/** The message is invalid or not allowed. Errors after which the client sends the command again are not dispatched. */
export interface ErrorMessage {
  type: "error";
  id: string | null;
  code: ErrorCode;
  message: string;
}

export interface PongMessage {
  type: "pong";
}

/** The client no longer reconnects. */
export interface Stopped {
  /** The WebSocket's close code. */
  code: number;
  /** For the participant. */
  reason: string;
}

/** The client was stopped before the command's answer. The command stays on the device. */
export interface StoppedMessage {
  type: "error";
  id: string;
  code: "stopped";
  message: string;
}

/** The final answer to a command. */
export type Outcome = AckMessage | RejectMessage | ErrorMessage | StoppedMessage;

/** A command as it is sent. */
export type Command = { id: string } & (
  | { type: "answer"; step: string; value: Json; confirmed?: true }
  | { type: "back" }
  | { type: "goto"; step: string }
  | { type: "mode"; audio: boolean }
  | { type: "language"; language: string }
  | { type: "restart" }
);

/** Attempts and delays; the client spreads delays between attempts to connect by half up or down. */
export interface ClientTimeouts {
  /** Attempts to connect with doubling delays, before the slow ones. Default: 5 */
  connectAttempts: number;
  /** Delay before the first of these. Default: 500 */
  connectDelayMs: number;
  /** Delay between attempts after these, for as long as the page is open. Default: 20,000 */
  slowDelayMs: number;
  /** Delay after close code 1013 or 4429. Default: 30,000 */
  busyDelayMs: number;
  /** Timeout of an attempt to connect. Default: 8,000 */
  openTimeoutMs: number;
  /** Interval between pings. Default: 25,000 */
  pingIntervalMs: number;
  /** A connection that stays silent this long after a ping is replaced. Default: 10,000 */
  pingTimeoutMs: number;
  /** Attempts to hand a command to the socket, before the connection is replaced. Default: 3 */
  sendAttempts: number;
  /** Delay after the first of these; doubled after the second. Default: 200 */
  sendDelayMs: number;
  /** Delay before a command is sent again after a transient error; doubles up to slowDelayMs. Default: 2,000 */
  unavailableDelayMs: number;
  /** Timeout of the browser's storage; afterwards the outbox is in memory only. Default: 2,000 */
  storageTimeoutMs: number;
}

export interface AnswerOptions {
  /** The participant has seen the warnings of a `reject` with the code `confirm`. Default: false */
  confirmed?: boolean;
}

/** `number`, `too_long`, `character`, `first_character`, `too_deep` or `not_json`, with the values that its text names. */
export type Describe = (problem: string, values: Record<string, string | number>) => string;

export interface SurveyClientOptions {
  /** The server's http or https URL, with its path prefix if it has one. */
  origin: string;
  surveyId: string;
  /** 1 to 128 of `A-Z a-z 0-9 . _ @ : -`. */
  userId: string;
  /** The mode of a new session. Default: false */
  isAudio?: boolean;
  /** The language of a new session, if the survey has it. Default: the best of the browser's languages */
  language?: string;
  /** The survey's parameters with `from: url`, for a new session; other names are ignored. Default: none */
  parameters?: URLSearchParams | Record<string, string> | [string, string][];
  /**
   * The participant's resume token; not needed on the server's own host, where a cookie has it. Kept in memory only,
   * and sent as the subprotocol `token.<token>`.
   */
  token?: string;
  /** Omitted values have their defaults. */
  timeouts?: Partial<ClientTimeouts>;
  /** The text for the participant of a command that the client itself rejects. Default: English */
  describe?: Describe;
}

export interface SurveyClientEventMap {
  state: CustomEvent<StateMessage>;
  ack: CustomEvent<AckMessage>;
  pending: CustomEvent<PendingMessage>;
  reject: CustomEvent<RejectMessage>;
  sync: CustomEvent<SyncMessage>;
  error: CustomEvent<ErrorMessage>;
  pong: CustomEvent<PongMessage>;
  stopped: CustomEvent<Stopped>;
  /** `isOnline`, `unacknowledged` or `isDurable` may have changed. */
  change: Event;
}

/** One participant's session of one survey; it reconnects and sends unacknowledged commands again. */
export class SurveyClient extends EventTarget {
  constructor(options: SurveyClientOptions);

  /** Whether the client is connected and has received the session's state. */
  get isOnline(): boolean;
  /** Whether the first attempt since `start` is under way: neither online nor offline yet. */
  get isConnecting(): boolean;

  /** How many commands have no final answer yet. */
  get unacknowledged(): number;

  /** These commands, oldest first. */
  get unacknowledgedCommands(): Command[];

  /** Whether they outlive the page; false if the browser's storage is forbidden or fails. */
  get isDurable(): boolean;

  /** Load the commands that earlier pages left, and connect. Resolves before the connection is open. */
  start(): Promise<void>;

  /** Close the connection, and resolve all promises. Unacknowledged commands stay on the device for the next start. */
  stop(): void;

  /** Connect without waiting for the next attempt; if connected, check that the connection is alive. */
  reconnectNow(): void;

  /**
   * Answer the current step, or change the answer of another one on the route.
   *
   * @param options `confirmed`: the participant has seen the warnings of the reject `confirm`
   * @returns resolves with the final answer, which may take until the network is back; never rejects. Resolves at once
   *   with a `reject` if the server would refuse the value as JSON
   */
  answer(step: string, value: Json, options?: AnswerOptions): Promise<Outcome>;

  /** Return to the previous step. */
  back(): Promise<Outcome>;

  /** Go to a step on the route. */
  goto(step: string): Promise<Outcome>;

  setMode(audio: boolean): Promise<Outcome>;

  /** Show the survey in another of its languages, also when it is completed. */
  setLanguage(language: string): Promise<Outcome>;

  /** Start the survey again without the answers. */
  restart(): Promise<Outcome>;

  /**
   * Send the unsubmitted answer, unless a command has to be sent before it. Drafts are not queued: send the latest one
   * again when the client is back online.
   *
   * @returns whether it was sent
   */
  draft(step: string, value: Json): boolean;

  addEventListener<K extends keyof SurveyClientEventMap>(
    type: K,
    listener: (this: SurveyClient, event: SurveyClientEventMap[K]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;

  removeEventListener<K extends keyof SurveyClientEventMap>(
    type: K,
    listener: (this: SurveyClient, event: SurveyClientEventMap[K]) => void,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | EventListenerOptions,
  ): void;
}
