/// Changes of a package's public surface are intended: they must be approved, by a file in tests/approved-api.
module NormFree.Tests.Repository.PublicSurfaceTests

open System
open System.IO
open System.Reflection
open Expecto
open NormFree.Tests

let private folder = Path.Combine(repository, "tests", "approved-api")

/// The libraries. The tool and the templates have no public surface.
let packages =
    Directory.GetDirectories(Path.Combine(repository, "src"), "NormFree.*")
    |> Array.map (fun folder -> DirectoryInfo(folder).Name)
    |> Array.filter (fun name -> name <> "NormFree.Cli" && name <> "NormFree.Templates")
    |> Array.sort
    |> Array.toList

/// build.fsx sets it for its target Approve.
let private isApproving = Environment.GetEnvironmentVariable "NORMFREE_APPROVE" = "1"

let private changes (approved: string) (actual: string) =
    let split (text: string) = text.Split '\n' |> Array.map _.Trim() |> Array.filter ((<>) "")
    let without others line = not (Array.contains line others)
    let before, after = split approved, split actual

    [ for line in before |> Array.filter (without after) do
          $"- {line}"
      for line in after |> Array.filter (without before) do
          $"+ {line}" ]

let private check (package: string) =
    let path = Path.Combine(folder, $"{package}.txt")
    let actual = PublicSurface.ofAssembly (Assembly.Load package)

    if isApproving then
        File.WriteAllText(path, actual)

    let approved = if File.Exists path then (File.ReadAllText path).Replace("\r\n", "\n") else ""

    if actual <> approved then
        let lines = changes approved actual |> List.truncate 40 |> String.concat "\n"

        failtest
            $"The public surface of {package} changed. If that is intended, run 'dotnet fsi build.fsx -t Approve' and commit tests/approved-api.\n{lines}"

let tests =
    testList
        "public surface"
        [ for package in packages do
              test $"{package} has the approved public surface" { check package }

          test "every approved file belongs to a package" {
              let approved =
                  Directory.GetFiles(folder, "*.txt")
                  |> Array.map (fun file -> FileInfo(file).Name.Replace(".txt", ""))

              Expect.equal (Array.sort approved |> Array.toList) packages "packages with an approved file"
          } ]
