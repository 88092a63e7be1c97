output "name" {
  description = "Name of the instance, once it runs."
  value       = terraform_data.end.output.name
}

output "image" {
  description = "The image that it runs."
  value       = terraform_data.instance.output.image
}
