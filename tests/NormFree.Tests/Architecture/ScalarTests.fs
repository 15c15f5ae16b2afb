/// TorchSharp may free a temporary scalar during the call that uses it (see ScalarArithmetic), so our libraries must not create any.
module NormFree.Tests.Architecture.ScalarTests

open System
open System.Collections.Generic
open System.IO
open Expecto
open Mono.Cecil

let private methods (file: string) =
    let modul = ModuleDefinition.ReadModule(Path.Combine(AppContext.BaseDirectory, file))

    [ for t in modul.GetTypes() do
          yield! t.Methods ]
    |> List.filter _.HasBody

let private calls (m: MethodDefinition) =
    m.Body.Instructions
    |> Seq.choose (fun i ->
        match i.Operand with
        | :? MethodReference as callee -> Some callee
        | _ -> None)

let private createsScalar (callee: MethodReference) =
    (callee.DeclaringType.FullName = "TorchSharp.Scalar"
     && (callee.Name = ".ctor" || callee.Name = "op_Implicit"))
    || callee.Name = "ToScalar"

/// TorchSharp's tensor methods that create a scalar, directly or through other tensor methods.
let private unsafeMethods =
    lazy
        (let tensorMethods =
            methods "TorchSharp.dll"
            |> List.filter (fun m -> m.DeclaringType.FullName = "TorchSharp.torch/Tensor")

         let found = HashSet<string>()

         let rec spread () =
             let before = found.Count

             for m in tensorMethods do
                 if calls m |> Seq.exists (fun callee -> createsScalar callee || found.Contains callee.FullName) then
                     found.Add m.FullName |> ignore

             if found.Count > before then
                 spread ()

         spread ()
         found)

let private offenders file =
    [ for m in methods file do
          if not (m.DeclaringType.FullName.Contains "ScalarArithmetic") then
              for callee in calls m do
                  if createsScalar callee || unsafeMethods.Value.Contains callee.FullName then
                      $"{m.DeclaringType.FullName}.{m.Name} calls {callee.Name}" ]

let tests =
    testList
        "scalars"
        [ test "the sum of two tensors is known to create a scalar, so this test can fail" {
              Expect.exists
                  unsafeMethods.Value
                  (fun name -> name.Contains "op_Addition" && name.Contains "Tensor,TorchSharp.torch/Tensor")
                  "op_Addition"
          }
          for file in
              [ "NormFree.Torch.dll"
                "NormFree.Training.dll"
                "NormFree.Interop.dll"
                "NormFree.Reporting.dll"
                "normfree.dll" ] do
              test $"{file} creates no temporary scalar" {
                  Expect.equal (offenders file) [] "calls that bypass ScalarArithmetic"
              } ]
