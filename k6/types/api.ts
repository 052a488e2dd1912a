// The parts of openapi.json that the scripts use, under the names that the document has. tests/it/k6.rs compares them.

export interface Message {
  id: number;
  user: string;
  text: string;
  created_at: string;
}

export interface MessageToPost {
  user: string;
  text: string;
}

export interface MessageList {
  messages: Message[];
}

export interface UserList {
  users: string[];
  next?: string;
}

export interface Problem {
  status: number;
  code: string;
  error: boolean;
  trace_id: string;
}

export interface Stats {
  service: Service;
  connections: Connections;
  cpu: Cpu;
  memory_bytes: number;
}

export interface Service {
  started_at: string;
  uptime_seconds: number;
}

export interface Connections {
  now: number;
  peak: number;
  limit: number;
}

export interface Cpu {
  limit_cpus: number;
}
