# terraform init && terraform apply: builds the site's image and runs it; again after a change, it
# is replaced; terraform destroy removes both.

variable "image" {
  description = "An image that was built and tested already; null: build this folder."
  type        = string
  default     = null
}

variable "port" {
  description = "Where the site is served."
  type        = string
  default     = "8080"
}

variable "ingot" {
  description = "The command."
  type        = string
  default     = "ingot"
}

module "site" {
  source = "../../deploy/terraform"
  name   = "site"
  target = var.image == null ? path.module : null
  image  = var.image
  ports  = ["${var.port}:8080"]
  memory = "32M"
  ready  = "healthy"
  ingot  = var.ingot
}

output "image" {
  value = module.site.image
}
