"""Real Kafka, PostgreSQL and Redis servers as child processes, from pip packages alone."""

from threatlog.embedded.errors import PortUnusableError, ServerError
from threatlog.embedded.kafka_cluster import KafkaCluster
from threatlog.embedded.kafka_server import KafkaNode, KafkaServer
from threatlog.embedded.postgres_server import PostgresServer
from threatlog.embedded.redis_server import RedisServer
from threatlog.embedded.server import Server

__all__ = [
    "KafkaCluster",
    "KafkaNode",
    "KafkaServer",
    "PortUnusableError",
    "PostgresServer",
    "RedisServer",
    "Server",
    "ServerError",
]
