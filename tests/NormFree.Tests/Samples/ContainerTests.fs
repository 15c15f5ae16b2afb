/// The container file of the sample service, which no test builds: what it copies exists, and its commands are those of the documentation.
module NormFree.Tests.Samples.ContainerTests

open System.IO
open System.Text.Json
open System.Text.RegularExpressions
open Expecto
open NormFree.Tests

let private read (path: string) = File.ReadAllText(Path.Combine(repository, path))
let private lines = lazy (read("experiments/service/Containerfile").Split '\n')

/// The values of an instruction, such as COPY.
let private instruction name =
    [ for line in lines.Value do
          if line.StartsWith(name + " ") then
              line.Substring(name.Length + 1).Trim() ]

let private known = [ "FROM"; "WORKDIR"; "COPY"; "ENV"; "EXPOSE"; "USER"; "ENTRYPOINT" ]

let private build = "experiments/service/bin/Release/net10.0"

let tests =
    testList
        "container file"
        [ test "has known instructions only, starts with FROM, and does not run as root" {
              let instructions =
                  [ for line in lines.Value do
                        if line <> "" && line[0] <> '#' then
                            line.Split(' ')[0] ]

              Expect.equal instructions.Head "FROM" "the first"
              Expect.isEmpty (List.except known instructions) "others"
              Expect.equal (instruction "USER") [ "$APP_UID" ] "the image's user without rights"
          }

          test "copies and starts what 'dotnet publish' of the sample writes" {
              Expect.equal (instruction "COPY") [ ". ." ] "the whole context, which is the published folder"
              let command = nonNull (JsonSerializer.Deserialize<string[]>((instruction "ENTRYPOINT").Head))
              Expect.equal command [| "dotnet"; "service.dll" |] "the command"
              Expect.isTrue (File.Exists(Path.Combine(repository, build, "service.dll"))) "the program"
              let framework = read (build + "/service.runtimeconfig.json")

              let version =
                  Regex
                      .Match(framework, "\"Microsoft.AspNetCore.App\",\\s*\"version\": \"(\\d+\\.\\d+)")
                      .Groups[1].Value

              Expect.stringEnds
                  (instruction "FROM").Head
                  $"/aspnet:{version}"
                  "the image has the framework of the program"
          }

          test "sets the variables that the service reads, and names existing files in its commands" {
              let settings = read "experiments/service/Settings.cs"

              for setting in [ for value in (instruction "ENV").Head.Split ' ' -> value.Split('=')[0] ] do
                  if not (setting.StartsWith "DOTNET_") then
                      Expect.isTrue (Regex.IsMatch(settings, $"\\b{setting}\\b", RegexOptions.IgnoreCase)) setting

              let comments = lines.Value |> Array.filter _.StartsWith('#') |> String.concat "\n"

              for path in Regex.Matches(comments, "experiments/[\\w/]+") do
                  Expect.isTrue (Path.Exists(Path.Combine(repository, path.Value))) path.Value

              Expect.stringContains (read "docs/tutorials/deploy.md") "experiments/service/Containerfile" "documented"
          } ]
