"""An API process whose limits of connections are short, so that tests do not wait for them."""

HEAD_S, BODY_S, PACE, IDLE_S, STALL_S = 1.5, 1.5, 500.0, 2.5, 1.5
TOTAL, OF_A_PEER = 120, 80
LIMITS = {
    "OPTSERVE_HEAD_TIMEOUT_S": str(HEAD_S),
    "OPTSERVE_BODY_TIMEOUT_S": str(BODY_S),
    "OPTSERVE_BODY_BYTES_PER_S": str(PACE),
    "OPTSERVE_IDLE_TIMEOUT_S": str(IDLE_S),
    "OPTSERVE_STREAM_STALL_S": str(STALL_S),
    "OPTSERVE_MAX_CONNECTIONS": str(TOTAL),
    "OPTSERVE_MAX_CONNECTIONS_PER_PEER": str(OF_A_PEER),
}
