/**
 * Types of client.js, for those who use it by itself (docs/browser-client.md).
 *
 * Everything here is public and keeps its meaning; what other modules of this folder export is not.
 */

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

export type RejectCode = "not_current" | "invalid_answer" | "required" | "at_start" | "completed" | "expired";
export type ErrorCode = "malformed" | "unknown_type" | "too_large" | "unauthorized" | "rate_limited" | "unavailable";

export interface Option {
  /** What is sent as the answer, in this very JSON type. */
  value: string | number;
  label: string;
  audio?: string | null;
}

/** A step as in the survey file, with defaults filled in and without its rules. */
export interface Step {
  id: string;
  type: "choice" | "choices" | "text" | "number" | "scale" | "date" | "boolean" | "info";
  prompt: string;
  /** What audio mode speaks instead of the prompt. */
  audio?: string | null;
  required?: boolean;
  options?: Option[];
  min_choices?: number | null;
  max_choices?: number | null;
  /** In characters (code points). */
  max_length?: number | null;
  /** RE2; it must match the whole answer. */
  pattern?: string | null;
  min?: number | string | null;
  max?: number | string | null;
  integer?: boolean;
  unit?: string | null;
  min_label?: string | null;
  max_label?: string | null;
  /** In `GET /api/surveys/{id}` only: where the step leads whatever is answered; null where that depends. */
  leads_to?: string | null;
  /** In `GET /api/surveys/{id}` only: the other steps whose answers decide where it leads; null: any. */
  reads?: string[] | null;
}

export interface Session {
  user_id: string;
  survey_id: string;
  /** The definition that the session keeps to; null where it is of no known survey. */
  survey_revision: string | null;
  status: "in_progress" | "completed" | "expired";
  /** `end` when completed. */
  current_step: string;
  /** By step, the answers on the route. */
  answers: Record<string, Json>;
  /** The route before the current step, oldest first. */
  step_history: string[];
  is_audio_mode: boolean;
  /** The half-typed answer of the current step, null where there is none. */
  draft: Json;
  session_data: Record<string, Json> | null;
}

interface Place {
  session: Session;
  /** The current step; null when completed. */
  step: Step | null;
  /** 0 to 1, never falling while the walk goes forward. */
  progress: number;
}

/** The whole session, on each connection. */
export interface StateMessage extends Place {
  type: "state";
  version: number;
  /** Whether the session was there before this connection. */
  resumed: boolean;
}

/** The command is committed. */
export interface AckMessage extends Place {
  type: "ack";
  id: string;
  /** The version that the command made. */
  version: number;
  /** Whether it had been committed already, and nothing was done again; `session` is as it is now. */
  duplicate: boolean;
}

/** The command is accepted, not yet committed; the ack, or a reject, follows. */
export interface PendingMessage extends Place {
  type: "pending";
  id: string;
}

/** The survey's rules refused the command; nothing was saved. */
export interface RejectMessage {
  type: "reject";
  id: string;
  code: RejectCode;
  /** For the participant. */
  message: string;
  step?: Step | null;
}

/** Another connection changed the session. */
export interface SyncMessage extends Place {
  type: "sync";
  version: number;
}

/** Not a command, or not allowed. One that will be tried again is not told. */
export interface ErrorMessage {
  type: "error";
  id: string | null;
  code: ErrorCode;
  message: string;
}

export interface PongMessage {
  type: "pong";
}

/** No attempt will be made any more; `code` is the socket's close code, `why` is for the participant. */
export interface Stopped {
  code: number;
  why: string;
}

/** The last answer to a command. */
export type Outcome = AckMessage | RejectMessage | ErrorMessage;

/** What the participant wants, as it is sent. */
export type Command = { id: string } & (
  | { type: "answer"; step: string; value: Json }
  | { type: "back" }
  | { type: "goto"; step: string }
  | { type: "mode"; audio: boolean }
  | { type: "restart" }
);

/** All times are in milliseconds, and waits between attempts are jittered by half. */
export interface ConnectionTimes {
  /** Attempts to connect with doubling delays, before the slow ones. 5 */
  quickTries: number;
  /** Before the first of these. 500 */
  firstDelayMs: number;
  /** Between attempts after the quick ones, for as long as the page is open. 20,000 */
  slowDelayMs: number;
  /** Before an attempt after a close with 1013 or 4429. 30,000 */
  busyDelayMs: number;
  /** An attempt that takes longer is given up. 8,000 */
  connectWithinMs: number;
  /** Between two pings. 25,000 */
  pingEveryMs: number;
  /** A connection that says nothing for this long after a ping is made anew. 10,000 */
  pongWithinMs: number;
  /** Attempts to hand a command to the socket, before the connection is made anew. 3 */
  sendTries: number;
  /** After the first of these; after the second twice as long. 200 */
  sendDelayMs: number;
  /** Before a command is sent again that the server could not take just now; doubles, up to slowDelayMs. 2,000 */
  againDelayMs: number;
  /** The longest wait for the browser's storage; afterwards memory must do. 2,000 */
  storeWithinMs: number;
}

export interface SurveyClientOptions {
  /** http(s) address of the server, with its path prefix if it has one. */
  origin: string;
  surveyId: string;
  /** 1 to 128 of `A-Z a-z 0-9 . _ @ : -`. */
  userId: string;
  /** The mode that a new session begins in. Default: false. */
  isAudio?: boolean;
  /**
   * The participant's resume token. A page of the server's own host needs none: there the cookie has it. It is kept in
   * memory only, and sent as the subprotocol `token.<token>`.
   */
  token?: string;
  /** What is left out has its default. */
  times?: Partial<ConnectionTimes>;
}

export interface SurveyClientEventMap {
  state: CustomEvent<StateMessage>;
  ack: CustomEvent<AckMessage>;
  pending: CustomEvent<PendingMessage>;
  reject: CustomEvent<RejectMessage>;
  sync: CustomEvent<SyncMessage>;
  error: CustomEvent<ErrorMessage>;
  pong: CustomEvent<PongMessage>;
  /** No attempt will be made any more. */
  stopped: CustomEvent<Stopped>;
  /** `isOnline`, `unacknowledged` or `isKeptOnDevice` may have changed. */
  change: Event;
}

/** One participant's session of one survey; it connects, reconnects and sends again by itself. */
export class SurveyClient extends EventTarget {
  constructor(options: SurveyClientOptions);

  /** Whether the server has greeted us on a connection that still stands. */
  get isOnline(): boolean;

  /** How many commands the server has not answered for good. */
  get unacknowledged(): number;

  /** These commands, oldest first. */
  get unacknowledgedCommands(): Command[];

  /** Whether they outlive the page; false where the browser forbids or lost its storage. */
  get isKeptOnDevice(): boolean;

  /** Resolves when what earlier pages left is in the outbox, and the socket is opening. */
  start(): Promise<void>;

  /** Close the connection. What is unanswered stays on the device, for the next client. */
  stop(): void;

  /** Connect at once where there is no connection; else make sure that it is alive. */
  retryNow(): void;

  /**
   * Answer the current step, or another one on the route (an edit).
   *
   * @returns the last answer of the server; never rejects, and may take until the network is back
   */
  answer(step: string, value: Json): Promise<Outcome>;

  /** Return to the step before. */
  back(): Promise<Outcome>;

  /** Go to a step on the route. */
  goto(step: string): Promise<Outcome>;

  setMode(audio: boolean): Promise<Outcome>;

  /** Begin a new walk. */
  restart(): Promise<Outcome>;

  /**
   * Send the half-typed answer, unless a command waits that has to go before it. It isn't kept here:
   * send the newest again when the client is back online.
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
