/// The public surface of an assembly as text: one line per type and member, sorted, in the terms of the language that it is written in.
module NormFree.Tests.Repository.PublicSurface

open System
open System.Reflection
open System.Runtime.CompilerServices
open Microsoft.FSharp.Reflection

let private declared =
    BindingFlags.Public
    ||| BindingFlags.NonPublic
    ||| BindingFlags.Instance
    ||| BindingFlags.Static
    ||| BindingFlags.DeclaredOnly

let private keywords =
    dict
        [ typeof<unit>, "unit"
          typeof<Void>, "void"
          typeof<bool>, "bool"
          typeof<byte>, "byte"
          typeof<int>, "int"
          typeof<int64>, "long"
          typeof<float32>, "float"
          typeof<float>, "double"
          typeof<string>, "string"
          typeof<obj>, "object" ]

/// A name without the number of generic parameters.
let private withoutArity (name: string) = Array.head (name.Split '`')

let rec private typeName (t: Type) : string =
    match keywords.TryGetValue t with
    | true, keyword -> keyword
    | _ when t.IsByRef -> typeName (nonNull (t.GetElementType())) + "&"
    | _ when t.IsPointer -> typeName (nonNull (t.GetElementType())) + "*"
    | _ when t.IsArray -> typeName (nonNull (t.GetElementType())) + "[]"
    | _ when FSharpType.IsFunction t ->
        let from, result = FSharpType.GetFunctionElements t
        $"({typeName from} -> {typeName result})"
    | _ when t.IsGenericType ->
        $"""{withoutArity t.Name}<{t.GetGenericArguments() |> Array.map typeName |> String.concat ", "}>"""
    | _ -> t.Name

let private isGenerated (attributes: ICustomAttributeProvider) =
    attributes.IsDefined(typeof<CompilerGeneratedAttribute>, false)

/// Public and protected: what a program that references the package can use.
let private isVisible (method: MethodBase | null) =
    match method with
    | null -> false
    | method -> method.IsPublic || method.IsFamily || method.IsFamilyOrAssembly

let private parameters (infos: ParameterInfo[]) =
    [ for p in infos ->
          let value = if p.HasDefaultValue then $" = {p.DefaultValue}" else ""
          $"{typeName p.ParameterType} {p.Name}{value}" ]
    |> String.concat ", "

let private modifier (method: MethodBase) =
    if method.IsStatic then "static "
    elif method.IsAbstract then "abstract "
    else ""

let private property (info: PropertyInfo) =
    let accessors =
        [ if isVisible info.GetMethod then
              "get"
          if isVisible info.SetMethod then
              "set" ]

    let first = info.GetAccessors true |> Array.head
    let accessors = String.Join("; ", accessors)

    $"{modifier first}{info.Name}[{parameters (info.GetIndexParameters())}]: {typeName info.PropertyType} {{ {accessors} }}"
        .Replace("[]:", ":")

let private field (info: FieldInfo) =
    if info.IsLiteral then
        $"{info.Name} = {info.GetRawConstantValue()}"
    else
        $"{info.Name}: {typeName info.FieldType}"

let private isOwn (method: MethodInfo) =
    isVisible method
    && not (isGenerated method)
    && (not method.IsSpecialName || method.Name.StartsWith("op_", StringComparison.Ordinal))
    && not (obj.ReferenceEquals(method.GetBaseDefinition().DeclaringType, typeof<obj>))

let private signature (method: MethodInfo) =
    let generic =
        if method.IsGenericMethodDefinition then
            $"""<{method.GetGenericArguments() |> Array.map _.Name |> String.concat ", "}>"""
        else
            ""

    $"{modifier method}{method.Name}{generic}({parameters (method.GetParameters())}): {typeName method.ReturnType}"

let private members (t: Type) =
    [ for c in t.GetConstructors declared do
          if isVisible c && not c.IsStatic then
              $"new({parameters (c.GetParameters())})"
      for f in t.GetFields declared do
          if (f.IsPublic || f.IsFamily) && not f.IsSpecialName then
              field f
      for p in t.GetProperties declared do
          if (isVisible p.GetMethod || isVisible p.SetMethod) && not (isGenerated p) then
              property p
      for m in t.GetMethods declared do
          if isOwn m then
              signature m ]
    |> List.sortWith (fun a b -> String.CompareOrdinal(a, b))

let private isUnion t = FSharpType.IsUnion t && not (t.IsGenericType && t.Namespace = "Microsoft.FSharp.Collections")

let private ownFields (infos: PropertyInfo[]) = [ for p in infos -> $"{p.Name}: {typeName p.PropertyType}" ]

/// Members that a union or a record has besides its cases or fields.
let private besides (names: string Set) t =
    members t
    |> List.filter (fun line ->
        let name = Array.head (line.Replace("static ", "").Split('(', ':', '['))
        not (names.Contains name) && name <> "new")

let private unionLines t =
    let cases = FSharpType.GetUnionCases t

    let generated =
        Set
            [ "Tag"
              for case in cases do
                  yield! [ case.Name; $"Is{case.Name}"; $"New{case.Name}" ] ]

    [ for case in cases do
          let fields = ownFields (case.GetFields()) |> String.concat " * "
          if fields = "" then $"| {case.Name}" else $"| {case.Name} of {fields}" ]
    @ besides generated t

let private recordLines t =
    let fields = FSharpType.GetRecordFields t
    ownFields fields @ besides (Set [ for f in fields -> f.Name ]) t

let private isModule (t: Type) =
    match t.GetCustomAttribute<CompilationMappingAttribute>() with
    | null -> false
    | mapping -> mapping.SourceConstructFlags = SourceConstructFlags.Module

let private kind (t: Type) =
    if isModule t then "module"
    elif isUnion t then "union"
    elif FSharpType.IsRecord t then "record"
    elif t.IsEnum then "enum"
    elif t.IsInterface then "interface"
    elif t.IsValueType then "struct"
    elif t.IsAbstract && t.IsSealed then "static class"
    elif t.IsAbstract then "abstract class"
    elif t.IsSealed then "sealed class"
    else "class"

let private lines (t: Type) =
    let name = (withoutArity (nonNull t.FullName)).Replace('+', '.')

    let generic =
        if t.IsGenericTypeDefinition then
            $"""<{t.GetGenericArguments() |> Array.map _.Name |> String.concat ", "}>"""
        else
            ""

    let parent =
        match t.BaseType with
        | null -> ""
        | parent when parent = typeof<obj> || parent = typeof<ValueType> || t.IsEnum -> ""
        | parent -> $" : {typeName parent}"

    let content =
        if isUnion t then unionLines t
        elif FSharpType.IsRecord t then recordLines t
        else members t

    $"{kind t} {name}{generic}{parent}" :: [ for line in content -> $"    {line}" ]

/// Types that the F# compiler makes for the cases of a union are part of the union.
let private isOwnType (t: Type) =
    not (isGenerated t)
    && (match t.DeclaringType with
        | null -> true
        | parent -> not (isUnion parent))

/// <summary>The text of an assembly's public surface, with one block per type.</summary>
let ofAssembly (assembly: Assembly) =
    assembly.GetExportedTypes()
    |> Array.filter isOwnType
    |> Array.sortWith (fun a b -> String.CompareOrdinal(a.FullName, b.FullName))
    |> Array.collect (fun t -> List.toArray (lines t))
    |> String.concat "\n"
    |> fun text -> text + "\n"
