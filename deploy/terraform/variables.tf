variable "name" {
  description = "Name of the instance, and of the image that is built for it."
  type        = string
  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9_.-]*$", var.name))
    error_message = "A name is letters, digits, and \"_.-\" behind the first."
  }
}

variable "target" {
  description = "What to build: a project folder, a source file or a program. Built anew when a file of it changes."
  type        = string
  default     = null
}

variable "image" {
  description = "An image of the store to run, instead of a target to build."
  type        = string
  default     = null
  validation {
    condition     = (var.image == null) != (var.target == null)
    error_message = "Give either a target to build or an image to run."
  }
}

variable "args" {
  description = "Words for the program, in place of the image's own."
  type        = list(string)
  default     = []
}

variable "env" {
  description = "Environment variables of the program."
  type        = map(string)
  default     = {}
}

variable "ports" {
  description = "Ports to publish, each as ingot run -p takes it."
  type        = list(string)
  default     = []
}

variable "volumes" {
  description = "Volumes and folders, each as ingot run -v takes it."
  type        = list(string)
  default     = []
}

variable "memory" {
  description = "Memory of the guest."
  type        = string
  default     = "256M"
}

variable "cpus" {
  description = "CPUs of the guest."
  type        = number
  default     = 1
}

variable "restart" {
  description = "no, on-failure[:N], always or unless-stopped."
  type        = string
  default     = "unless-stopped"
}

variable "health" {
  description = "A health check, tcp:PORT or http:PORT/PATH; null: the image's own, if it has one."
  type        = string
  default     = null
}

variable "ready" {
  description = "What an apply waits for: running, or healthy."
  type        = string
  default     = "running"
  validation {
    condition     = contains(["running", "healthy"], var.ready)
    error_message = "It is running or healthy."
  }
}

variable "ready_timeout" {
  description = "How long an apply waits for it."
  type        = string
  default     = "30s"
}

variable "build_options" {
  description = "More options for ingot build."
  type        = list(string)
  default     = []
}

variable "options" {
  description = "More options for ingot run: [\"--isolation\", \"process\"]."
  type        = list(string)
  default     = []
}

variable "ingot" {
  description = "The command."
  type        = string
  default     = "ingot"
}
