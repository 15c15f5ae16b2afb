/// The templates and the tool, installed from their packages.
module NormFree.Tests.Packages.TemplateTests

open System.IO
open Expecto
open NormFree.Inference.Files
open NormFree.Tests
open NormFree.Tests.Data.Support
open NormFree.Tests.Inference
open NormFree.Tests.Samples.Service

let private hive () = Path.Combine(Feed.folder (), "hive")

let private installed =
    lazy
        (let package = Path.Combine(Feed.packages (), $"NormFree.Templates.{Feed.version}.nupkg")

         Feed.dotnet (Feed.folder ()) [ "new"; "install"; package; "--debug:custom-hive"; hive () ]
         |> Feed.succeeds "dotnet new install"
         |> ignore)

let private create template name =
    installed.Force()
    let path = Path.Combine(Feed.folder (), "projects", name)

    Feed.dotnet (Feed.folder ()) [ "new"; template; "--output"; path; "--debug:custom-hive"; hive () ]
    |> Feed.succeeds $"dotnet new {template}"
    |> ignore

    path

/// Twelve images in two classes, for both splits.
let private photos (path: string) =
    let demo = File.ReadAllBytes(Path.Combine(repository, "docs", "demo.png"))

    for split in [ "train"; "test" ] do
        for name in [ "cat"; "dog" ] do
            let folder = Path.Combine(path, "photos", split, name)
            Directory.CreateDirectory folder |> ignore

            for i in 1..16 do
                File.WriteAllBytes(Path.Combine(folder, $"{i}.png"), demo)

let tests =
    testList
        "templates"
        [ test "normfree-train trains on own images and writes a packed network" {
              let path = create "normfree-train" "train"
              photos path
              Feed.dotnet path [ "fsi"; "train.fsx"; "photos"; "1" ] |> Feed.succeeds "the script" |> ignore
              Expect.isTrue (PackedFile.IsPacked(Path.Combine(path, "network.packed.safetensors"))) "the packed network"
          }

          test "normfree-train holds out test images of a folder without splits" {
              let path = create "normfree-train" "flat"
              photos path
              let result = Feed.dotnet path [ "fsi"; "train.fsx"; "photos/train"; "1" ]
              Feed.succeeds "the script" result |> ignore
              Expect.isTrue (PackedFile.IsPacked(Path.Combine(path, "network.packed.safetensors"))) "the packed network"
          }

          test "normfree-service builds without warnings, and classifies an upload" {
              let path = create "normfree-service" "service"

              Feed.dotnet path [ "build"; "-c"; "Release"; "-nologo"; "-warnaserror" ]
              |> Feed.succeeds "dotnet build"
              |> ignore

              let result = Feed.dotnet path [ "run"; "-c"; "Release"; "--no-build" ]
              Expect.equal result.Code 2 "exit code without a network"
              contains [ "usage: dotnet run" ] result.Text

              // The same build classifies an upload.
              let network = Path.Combine(Feed.folder (), "service.packed.safetensors")
              PackedFile.Write(network, Models.tiny)

              use service = new Service(Path.Combine(path, "bin", "Release", "net10.0", "service"), [ network ])

              contains [ "\"status\":\"ok\""; "\"classes\":3" ] (service.Get "/health")
              let image = File.ReadAllBytes(Path.Combine(repository, "docs", "demo.png"))
              let status, _, text = service.Post("/classify", image)
              Expect.equal status 200 text
              contains [ "\"name\""; "\"probability\"" ] text
              let status, _, text = service.Post("/classify", [| 1uy; 2uy |])
              Expect.equal status 400 "no image"
              contains [ "not a JPEG or PNG image" ] text
          } ]
