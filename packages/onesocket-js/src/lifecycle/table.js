// The data of the lifecycle, written by `make js-table` from the Python package; do not edit.
// The machine (machine.js) walks TABLE and SIDE_TABLE, in which a guard or an action is the name of a method.

export const State = {
  "DISCONNECTED": "disconnected",
  "CONNECTING": "connecting",
  "CONNECTED": "connected",
  "BACKING_OFF": "backing off",
  "CLOSING": "closing",
  "FAILED": "failed",
  "STOPPED": "stopped",
  "CLOSED": "closed"
};

export const Side = {"NONE": "none", "OPENING": "opening", "CLOSING": "closing"};

export const AfterClose = {
  "DISCONNECTED": "disconnected",
  "NEW_ATTEMPT": "a new attempt",
  "BACK_OFF": "backing off",
  "FAIL": "failed",
  "STOP": "stopped",
  "CLOSE": "closed"
};

export const Initiator = {"CALLERS": "callers", "DETACHED": "detached", "RETRYING": "retrying", "RESUME": "resume"};

export const TimerKind = {"OPEN": "open timeout", "CLOSE": "close timeout", "RETRY": "retry", "STABLE": "stable"};

export const Outcome = {
  "OPENED": "opened",
  "JOINED": "joined",
  "ALREADY_CONNECTED": "already connected",
  "NOT_AUTHENTICATED": "not authenticated"
};

export const Verdict = {"RETRY": "retry", "SLOW": "slow", "NEW_TOKEN": "new token", "FAIL": "fail"};

export const GapReason = {"RECONNECTED": "reconnected", "OVERFLOW": "overflow", "UNDECODABLE": "undecodable"};

export const Overflow = {"FAIL": "fail", "DROP_OLDEST": "drop_oldest"};

export const NoticeLevel = {"INFO": "info", "WARNING": "warning", "ERROR": "error"};

export const TABLE = {
  "disconnected": {
    "Connect": [
      {"do": ["setInitiator", "addOpener", "waitForDate"], "to": "backing off", "when": "waitsForDate"},
      {"do": ["refuseEarly"], "when": "isEarly"},
      {"do": ["setInitiator", "dial", "addOpener"], "to": "connecting"}
    ],
    "Reconnect": [
      {"do": ["setInitiator", "addOpener", "waitForDate"], "to": "backing off", "when": "waitsForDate"},
      {"do": ["refuseEarly"], "when": "isEarly"},
      {"do": ["setInitiator", "dial", "addOpener"], "to": "connecting"}
    ],
    "Rotate": [
      {"do": ["setInitiator", "addOpener", "waitForDate"], "to": "backing off", "when": "waitsForDate"},
      {"do": ["refuseEarly"], "when": "isEarly"},
      {"do": ["setInitiator", "dial", "addOpener"], "to": "connecting"}
    ],
    "CallerCancelled": "illegal",
    "Disconnect": [{"do": ["cancelTimer", "returnAtOnce"], "to": "stopped"}],
    "Close": [{"do": ["cancelTimer", "returnAtOnce"], "to": "closed"}],
    "Opened": "illegal",
    "DeadlineExtended": "illegal",
    "ProtocolReady": "illegal",
    "ConnectionFailing": "illegal",
    "ConnectionGone": "illegal",
    "TimerFired": "illegal"
  },
  "connecting": {
    "Connect": [{"do": ["addJoiner"]}],
    "Reconnect": [{"do": ["addJoiner"]}],
    "Rotate": [{"do": ["addJoiner"]}],
    "CallerCancelled": [
      {
        "do": ["dropCaller", "closeConnection"],
        "to": "closing",
        "when": "isLastCaller",
        "afterClose": "disconnected"
      },
      {"do": ["dropCaller"]}
    ],
    "Disconnect": [{"do": ["abortCallers", "closeConnection", "awaitEnd"], "to": "closing", "afterClose": "stopped"}],
    "Close": [{"do": ["closeCallers", "closeConnection", "awaitEnd"], "to": "closing", "afterClose": "closed"}],
    "Opened": [{"do": ["markOpened"]}],
    "DeadlineExtended": [{"do": ["extendDeadline"]}],
    "ProtocolReady": [{"do": ["markOpened", "resolveCallers", "watchStability"], "to": "connected"}],
    "ConnectionFailing": [
      {
        "do": ["countFailure", "closeConnection"],
        "to": "closing",
        "when": "retryHelps",
        "afterClose": "backing off"
      },
      {"do": ["countFailure", "closeConnection"], "to": "closing", "afterClose": "failed"}
    ],
    "ConnectionGone": [
      {
        "do": ["markGone", "countFailure", "closeSide", "takeOver"],
        "to": "closing",
        "when": "retryFollowsSide",
        "afterClose": "backing off"
      },
      {
        "do": ["markGone", "countFailure", "closeSide", "takeOver"],
        "to": "closing",
        "when": "hasSide",
        "afterClose": "failed"
      },
      {
        "do": ["markGone", "countFailure", "rejectCallersOfAttempt", "scheduleRetry"],
        "to": "backing off",
        "when": "retryHelps"
      },
      {"do": ["markGone", "countFailure", "cancelTimer", "rejectCallers"], "to": "failed"}
    ],
    "TimerFired": [
      {
        "do": ["setTimeoutError", "countFailure", "abort"],
        "to": "closing",
        "when": "retryHelps",
        "afterClose": "backing off"
      },
      {"do": ["setTimeoutError", "countFailure", "abort"], "to": "closing", "afterClose": "failed"}
    ]
  },
  "connected": {
    "Connect": [{"do": ["returnAlreadyConnected"]}],
    "Reconnect": [
      {"do": ["refuseEarly"], "when": "isEarly"},
      {
        "do": ["setInitiator", "closeConnection", "closeSide", "addOpener"],
        "to": "closing",
        "afterClose": "a new attempt"
      }
    ],
    "Rotate": [
      {"do": ["addJoiner"], "when": "hasSide"},
      {"do": ["refuseEarly"], "when": "isEarly"},
      {"do": ["dialSuccessor", "addOpener"]}
    ],
    "CallerCancelled": [{"do": ["dropCaller"]}],
    "Disconnect": [
      {
        "do": ["abortCallers", "closeConnection", "closeSide", "awaitEnd"],
        "to": "closing",
        "afterClose": "stopped"
      }
    ],
    "Close": [
      {
        "do": ["closeCallers", "closeConnection", "closeSide", "awaitEnd"],
        "to": "closing",
        "afterClose": "closed"
      }
    ],
    "Opened": "illegal",
    "DeadlineExtended": "ignore",
    "ProtocolReady": "ignore",
    "ConnectionFailing": [
      {"do": ["countFailure", "takeOver", "closeSide"], "to": "connecting", "when": "successorFollows"},
      {
        "do": ["countFailure", "closeConnection", "closeSide"],
        "to": "closing",
        "when": "retryHelps",
        "afterClose": "backing off"
      },
      {"do": ["countFailure", "closeConnection", "closeSide"], "to": "closing", "afterClose": "failed"}
    ],
    "ConnectionGone": [
      {"do": ["markGone", "countFailure", "takeOver"], "to": "connecting", "when": "successorFollows"},
      {
        "do": ["markGone", "countFailure", "closeSide", "takeOver"],
        "to": "closing",
        "when": "retryFollowsSide",
        "afterClose": "backing off"
      },
      {
        "do": ["markGone", "countFailure", "closeSide", "takeOver"],
        "to": "closing",
        "when": "hasSide",
        "afterClose": "failed"
      },
      {
        "do": ["markGone", "countFailure", "rejectCallersOfAttempt", "scheduleRetry"],
        "to": "backing off",
        "when": "retryHelps"
      },
      {"do": ["markGone", "countFailure", "cancelTimer", "rejectCallers"], "to": "failed"}
    ],
    "TimerFired": [{"do": ["forgetFailures"]}]
  },
  "backing off": {
    "Connect": [
      {"do": ["addJoiner"], "when": "waitsForDate"},
      {"do": ["refuseEarly"], "when": "isEarly"},
      {"do": ["dial", "addOpener"], "to": "connecting"}
    ],
    "Reconnect": [
      {"do": ["addJoiner"], "when": "waitsForDate"},
      {"do": ["refuseEarly"], "when": "isEarly"},
      {"do": ["dial", "addOpener"], "to": "connecting"}
    ],
    "Rotate": [
      {"do": ["addJoiner"], "when": "waitsForDate"},
      {"do": ["refuseEarly"], "when": "isEarly"},
      {"do": ["dial", "addOpener"], "to": "connecting"}
    ],
    "CallerCancelled": [
      {"do": ["dropCaller", "cancelTimer"], "to": "disconnected", "when": "isLastCaller"},
      {"do": ["dropCaller"]}
    ],
    "Disconnect": [{"do": ["abortCallers", "cancelTimer", "returnAtOnce"], "to": "stopped"}],
    "Close": [{"do": ["closeCallers", "cancelTimer", "returnAtOnce"], "to": "closed"}],
    "Opened": "illegal",
    "DeadlineExtended": "illegal",
    "ProtocolReady": "illegal",
    "ConnectionFailing": "illegal",
    "ConnectionGone": "illegal",
    "TimerFired": [{"do": ["dial"], "to": "connecting"}]
  },
  "closing": {
    "Connect": [
      {"do": ["refuseStopped"], "closingTo": "stopped"},
      {"do": ["refuseClosed"], "closingTo": "closed"},
      {"do": ["addJoiner"], "closingTo": "a new attempt"},
      {"do": ["addJoiner"], "when": "waitsForDate", "closingTo": "backing off"},
      {
        "do": ["rejectCallers", "setInitiator", "addOpener"],
        "when": "waitsForDate",
        "afterClose": "backing off"
      },
      {"do": ["refuseEarly"], "when": "isEarly", "closingTo": "stopped", "afterClose": "disconnected"},
      {"do": ["refuseEarly"], "when": "isEarly"},
      {
        "do": ["rejectCallersOfAttempt", "setInitiator", "addOpener"],
        "closingTo": "backing off",
        "afterClose": "a new attempt"
      },
      {"do": ["rejectCallers", "setInitiator", "addOpener"], "afterClose": "a new attempt"}
    ],
    "Reconnect": [
      {"do": ["refuseClosed"], "closingTo": "closed"},
      {"do": ["addJoiner"], "closingTo": "a new attempt"},
      {"do": ["addJoiner"], "when": "waitsForDate", "closingTo": "backing off"},
      {
        "do": ["rejectCallers", "setInitiator", "addOpener"],
        "when": "waitsForDate",
        "afterClose": "backing off"
      },
      {"do": ["refuseEarly"], "when": "isEarly", "closingTo": "stopped", "afterClose": "disconnected"},
      {"do": ["refuseEarly"], "when": "isEarly"},
      {
        "do": ["rejectCallersOfAttempt", "setInitiator", "addOpener"],
        "closingTo": "backing off",
        "afterClose": "a new attempt"
      },
      {"do": ["rejectCallers", "setInitiator", "addOpener"], "afterClose": "a new attempt"}
    ],
    "Rotate": [
      {"do": ["refuseStopped"], "closingTo": "stopped"},
      {"do": ["refuseClosed"], "closingTo": "closed"},
      {"do": ["addJoiner"], "closingTo": "a new attempt"},
      {"do": ["addJoiner"], "when": "waitsForDate", "closingTo": "backing off"},
      {
        "do": ["rejectCallers", "setInitiator", "addOpener"],
        "when": "waitsForDate",
        "afterClose": "backing off"
      },
      {"do": ["refuseEarly"], "when": "isEarly", "closingTo": "stopped", "afterClose": "disconnected"},
      {"do": ["refuseEarly"], "when": "isEarly"},
      {
        "do": ["rejectCallersOfAttempt", "setInitiator", "addOpener"],
        "closingTo": "backing off",
        "afterClose": "a new attempt"
      },
      {"do": ["rejectCallers", "setInitiator", "addOpener"], "afterClose": "a new attempt"}
    ],
    "CallerCancelled": [
      {
        "do": ["dropCaller"],
        "when": "isLastCaller",
        "closingTo": "a new attempt",
        "afterClose": "disconnected"
      },
      {"do": ["dropCaller"], "when": "isLastCaller", "closingTo": "backing off", "afterClose": "disconnected"},
      {
        "do": ["dropCaller"],
        "when": "isLastRetryingCaller",
        "closingTo": "backing off",
        "afterClose": "failed"
      },
      {"do": ["dropCaller"]}
    ],
    "Disconnect": [
      {"do": ["awaitEnd"], "closingTo": "closed"},
      {"do": ["abortCallers", "awaitEnd"], "afterClose": "stopped"}
    ],
    "Close": [{"do": ["closeCallers", "awaitEnd"], "afterClose": "closed"}],
    "Opened": [{"do": ["markOpened", "setCloseTimeout"]}],
    "DeadlineExtended": "ignore",
    "ProtocolReady": "ignore",
    "ConnectionFailing": "ignore",
    "ConnectionGone": [
      {"do": ["markGone", "takeOver"], "when": "hasSide"},
      {
        "do": ["markGone", "rejectCallersOfAttempt", "waitForDate", "releaseClosers"],
        "to": "backing off",
        "when": "isAwaitedUntilDate",
        "closingTo": "a new attempt"
      },
      {
        "do": ["markGone", "cancelTimer", "rejectCallers", "releaseClosers"],
        "to": "failed",
        "when": "namesDate",
        "closingTo": "a new attempt"
      },
      {"do": ["markGone", "dial", "releaseClosers"], "to": "connecting", "closingTo": "a new attempt"},
      {
        "do": ["markGone", "rejectCallersOfAttempt", "scheduleRetry", "releaseClosers"],
        "to": "backing off",
        "closingTo": "backing off"
      },
      {
        "do": ["markGone", "cancelTimer", "rejectCallers", "releaseClosers"],
        "to": "failed",
        "closingTo": "failed"
      },
      {"do": ["markGone", "cancelTimer", "releaseClosers"], "to": "stopped", "closingTo": "stopped"},
      {"do": ["markGone", "cancelTimer", "releaseClosers"], "to": "closed", "closingTo": "closed"},
      {"do": ["markGone", "cancelTimer", "releaseClosers"], "to": "disconnected"}
    ],
    "TimerFired": [{"do": ["abort"]}]
  },
  "failed": {
    "Connect": [
      {"do": ["setInitiator", "addOpener", "waitForDate"], "to": "backing off", "when": "waitsForDate"},
      {"do": ["refuseEarly"], "when": "isEarly"},
      {"do": ["setInitiator", "dial", "addOpener"], "to": "connecting"}
    ],
    "Reconnect": [
      {"do": ["setInitiator", "addOpener", "waitForDate"], "to": "backing off", "when": "waitsForDate"},
      {"do": ["refuseEarly"], "when": "isEarly"},
      {"do": ["setInitiator", "dial", "addOpener"], "to": "connecting"}
    ],
    "Rotate": [
      {"do": ["setInitiator", "addOpener", "waitForDate"], "to": "backing off", "when": "waitsForDate"},
      {"do": ["refuseEarly"], "when": "isEarly"},
      {"do": ["setInitiator", "dial", "addOpener"], "to": "connecting"}
    ],
    "CallerCancelled": "illegal",
    "Disconnect": [{"do": ["cancelTimer", "returnAtOnce"], "to": "stopped"}],
    "Close": [{"do": ["cancelTimer", "returnAtOnce"], "to": "closed"}],
    "Opened": "illegal",
    "DeadlineExtended": "illegal",
    "ProtocolReady": "illegal",
    "ConnectionFailing": "illegal",
    "ConnectionGone": "illegal",
    "TimerFired": "illegal"
  },
  "stopped": {
    "Connect": [{"do": ["refuseStopped"]}],
    "Reconnect": [
      {"do": ["setInitiator", "addOpener", "waitForDate"], "to": "backing off", "when": "waitsForDate"},
      {"do": ["refuseEarly"], "to": "disconnected", "when": "isEarly"},
      {"do": ["setInitiator", "dial", "addOpener"], "to": "connecting"}
    ],
    "Rotate": [{"do": ["refuseStopped"]}],
    "CallerCancelled": "illegal",
    "Disconnect": [{"do": ["returnAtOnce"]}],
    "Close": [{"do": ["cancelTimer", "returnAtOnce"], "to": "closed"}],
    "Opened": "illegal",
    "DeadlineExtended": "illegal",
    "ProtocolReady": "illegal",
    "ConnectionFailing": "illegal",
    "ConnectionGone": "illegal",
    "TimerFired": "illegal"
  },
  "closed": {
    "Connect": [{"do": ["refuseClosed"]}],
    "Reconnect": [{"do": ["refuseClosed"]}],
    "Rotate": [{"do": ["refuseClosed"]}],
    "CallerCancelled": "illegal",
    "Disconnect": [{"do": ["returnAtOnce"]}],
    "Close": [{"do": ["returnAtOnce"]}],
    "Opened": "illegal",
    "DeadlineExtended": "illegal",
    "ProtocolReady": "illegal",
    "ConnectionFailing": "illegal",
    "ConnectionGone": "illegal",
    "TimerFired": "illegal"
  }
};

export const SIDE_TABLE = {
  "none": {
    "Opened": "illegal",
    "DeadlineExtended": "illegal",
    "ProtocolReady": "illegal",
    "ConnectionFailing": "illegal",
    "ConnectionGone": "illegal",
    "TimerFired": "illegal"
  },
  "opening": {
    "Opened": [{"do": ["markSideOpened"]}],
    "DeadlineExtended": [{"do": ["extendSideDeadline"]}],
    "ProtocolReady": [{"do": ["takeOver", "closeSide", "watchStability"]}],
    "ConnectionFailing": [{"do": ["noteRefusal", "closeSide"]}],
    "ConnectionGone": [
      {
        "do": ["markSideGone", "closeConnection", "resumeAfterClose"],
        "to": "closing",
        "when": "isSecondRefused",
        "afterClose": "a new attempt"
      },
      {"do": ["noteRefusal", "markSideGone", "settleRotation"]}
    ],
    "TimerFired": [{"do": ["noteRefusal", "abortSide"]}]
  },
  "closing": {
    "Opened": [{"do": ["markSideOpened", "setSideCloseTimeout"]}],
    "DeadlineExtended": "ignore",
    "ProtocolReady": "ignore",
    "ConnectionFailing": "ignore",
    "ConnectionGone": [
      {
        "do": ["markSideGone", "closeConnection", "resumeAfterClose"],
        "to": "closing",
        "when": "isSecondRefused",
        "afterClose": "a new attempt"
      },
      {"do": ["markSideGone", "settleRotation"]}
    ],
    "TimerFired": [{"do": ["abortSide"]}]
  }
};

export const CLOSE_CODES = {
  "1000": "normal closure",
  "1001": "going away",
  "1002": "protocol error",
  "1003": "unsupported data",
  "1005": "no code given",
  "1006": "abnormal closure",
  "1007": "invalid text",
  "1008": "policy violation",
  "1009": "message too big",
  "1010": "mandatory extension",
  "1011": "internal error",
  "1012": "service restart",
  "1013": "try again later",
  "1014": "bad gateway",
  "3000": "unauthorized",
  "3003": "forbidden",
  "3008": "timeout"
};

export const CLOSE_RULES = [
  {"codes": [[1013, 1013]], "verdict": "slow", "words": null, "withoutSource": "fail"},
  {
    "codes": [[1008, 1008], [3000, 4999]],
    "verdict": "retry",
    "words": {
      "source": "^(?!.*(too (many|much|fast)|\\brate|token|jwt|credential)).*(\\b(idle|inactiv\\w*|life ?time|duration|age|session time)\\b.{0,40}\\b(limit|max\\w*|exceed\\w*|reach\\w*|time ?out)\\b|\\b(limit|max\\w*|exceed\\w*|reach\\w*|time ?out)\\b.{0,40}\\b(idle|inactiv\\w*|life ?time|duration|age|session time)\\b)",
      "flags": "is"
    },
    "withoutSource": "fail"
  },
  {
    "codes": [[1008, 1008], [3000, 4999]],
    "verdict": "slow",
    "words": {
      "source": "too (many|much|fast|quick|often|frequent)|\\brates?\\b|limit|exceed|throttl|slow down|flood|spam|quota|overload|busy|capacity|try again|later",
      "flags": "i"
    },
    "withoutSource": "fail"
  },
  {
    "codes": [[1008, 1008], [3000, 4999]],
    "verdict": "slow",
    "words": {
      "source": "\\b(connections?|sessions?|sockets?|clients?|logins?)\\b.{0,40}\\b(limit|max\\w*|many|exceed\\w*)\\b|\\b(limit|max\\w*|many|exceed\\w*|concurrent)\\b.{0,40}\\b(connections?|sessions?|sockets?|clients?|logins?)\\b|already (connected|logged in)",
      "flags": "i"
    },
    "withoutSource": "fail"
  },
  {
    "codes": [[1008, 1008]],
    "verdict": "new token",
    "words": {
      "source": "\\b(un ?|not )(authori[sz]ed|authenticated)\\b|\\bauth\\w* (failed|required|expired|error)|\\bforbidden\\b|\\b(invalid|expired|bad|wrong|revoked|missing)\\b.{0,16}\\b(token|jwt|credentials?|api.?key)\\b|\\b(token|jwt|credentials?|api.?key)\\b.{0,24}\\b(invalid|expired|wrong|revoked|not valid)\\b",
      "flags": "i"
    },
    "withoutSource": "fail"
  },
  {"codes": [[3000, 3000], [3003, 3003]], "verdict": "new token", "words": null, "withoutSource": "retry"},
  {
    "codes": [[3000, 4999]],
    "verdict": "new token",
    "words": {
      "source": "\\b(un ?|not )(authori[sz]ed|authenticated)\\b|\\bauth\\w* (failed|required|expired|error)|\\bforbidden\\b|\\b(invalid|expired|bad|wrong|revoked|missing)\\b.{0,16}\\b(token|jwt|credentials?|api.?key)\\b|\\b(token|jwt|credentials?|api.?key)\\b.{0,24}\\b(invalid|expired|wrong|revoked|not valid)\\b",
      "flags": "i"
    },
    "withoutSource": "retry"
  },
  {"codes": [[1008, 1008], [1010, 1010]], "verdict": "fail", "words": null, "withoutSource": "fail"},
  {"codes": [[0, 65535]], "verdict": "retry", "words": null, "withoutSource": "fail"}
];

export const CONNECTION_LIMIT_WORDS = {
  "source": "\\b(connections?|sessions?|sockets?|clients?|logins?)\\b.{0,40}\\b(limit|max\\w*|many|exceed\\w*)\\b|\\b(limit|max\\w*|many|exceed\\w*|concurrent)\\b.{0,40}\\b(connections?|sessions?|sockets?|clients?|logins?)\\b|already (connected|logged in)",
  "flags": "i"
};

export const POLICY_DEFAULTS = {
  "initial": 0.5,
  "factor": 2.0,
  "cap": 60.0,
  "unreachableCap": 3.0,
  "stableAfter": 10.0,
  "busyDelay": 30.0,
  "retryAfterCap": 3600.0,
  "maxAttempts": null,
  "first": false,
  "verdict": null
};

export const OUTBOX_DEFAULTS = {"messages": 2000, "age": 300.0};

export const DURABLE_OUTBOX_DEFAULTS = {"messages": 10000, "bytes": 16777216, "age": 86400.0};

export const LIMITS = {
  "downtimeFraction": 0.4,
  "retryAfterJitter": 0.1,
  "maxWait": 3600.0,
  "maxTokenRequests": 15,
  "ghostSeconds": 10.0,
  "minUptime": 1.0,
  "queue": 16384
};

export const NoticeId = {
  "CONNECTION_FAILED": "connection-failed",
  "CONNECTION_LOST": "connection-lost",
  "SERVICE_BUSY": "service-busy",
  "SIGN_IN_FAILED": "sign-in-failed",
  "SESSION_EXPIRED": "session-expired"
};
