# An instance of Ingot on the machine where Terraform runs: built, started, replaced and removed by
# the command line. Needs no provider beyond Terraform's own, so no network.

terraform {
  required_version = ">= 1.9"
}

locals {
  # A project is all its files but those of tools; anything else is one file.
  files = var.target == null ? [] : sort([
    for file in try(fileset(var.target, "**"), []) : file
    if length(regexall("(^|/)[.](git|terraform)/|[.]tfstate|[.]terraform[.]lock", file)) == 0
  ])
  content = var.target == null ? [] : (
    length(local.files) == 0 ? [filesha256(var.target)] :
    [for file in local.files : "${file} ${filesha256("${var.target}/${file}")}"]
  )
  revision = substr(sha256(jsonencode([var.target, local.content, var.build_options])), 0, 12)
  image    = var.target == null ? var.image : "${var.name}:${local.revision}"

  build_words = concat(["--tag", local.image], var.build_options, ["--", coalesce(var.target, "-")])
  run_words = concat(
    ["--memory", var.memory, "--cpus", tostring(var.cpus), "--restart", var.restart],
    flatten([for name, value in var.env : ["--env", "${name}=${value}"]]),
    flatten([for port in var.ports : ["--publish", port]]),
    flatten([for volume in var.volumes : ["--volume", volume]]),
    var.health == null ? [] : ["--health-cmd", var.health],
    var.options, [local.image], var.args,
  )

  # As words of a shell.
  build_line = join(" ", [for word in local.build_words : "'${replace(word, "'", "'\\''")}'"])
  run_line   = join(" ", [for word in local.run_words : "'${replace(word, "'", "'\\''")}'"])
}

# Nothing that runs is touched before its successor is built, nor removed before that is ready.

resource "terraform_data" "image" {
  count            = var.target == null ? 0 : 1
  triggers_replace = [local.image]

  lifecycle {
    create_before_destroy = true
  }
  provisioner "local-exec" {
    command     = "\"$INGOT\" build ${local.build_line}"
    environment = { INGOT = var.ingot }
  }
}

resource "terraform_data" "instance" {
  triggers_replace = [local.run_words, var.name, var.ready]
  input            = { image = local.image }
  depends_on       = [terraform_data.image]

  lifecycle {
    create_before_destroy = true
  }
  provisioner "local-exec" {
    command = "\"$MODULE\"/take-over.sh ${local.run_line}"
    environment = {
      MODULE = path.module, INGOT = var.ingot, NAME = var.name, ID = self.id
      READY  = var.ready, TIMEOUT = var.ready_timeout
    }
  }
}

# Terraform runs no destroy step of what has a successor, so the end has a resource of its own.
resource "terraform_data" "end" {
  triggers_replace = [var.name]
  input            = { ingot = var.ingot, name = var.name }
  depends_on       = [terraform_data.instance]

  provisioner "local-exec" {
    when        = destroy
    command     = "\"$INGOT\" stop \"$NAME\" && \"$INGOT\" rm \"$NAME\""
    environment = { INGOT = self.input.ingot, NAME = self.input.name }
  }
}
