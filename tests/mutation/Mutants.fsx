// The changes of C# code that tests/mutate.fsx tries.
#r "nuget: Microsoft.CodeAnalysis.CSharp, 5.9.0"

open Microsoft.CodeAnalysis
open Microsoft.CodeAnalysis.CSharp
open Microsoft.CodeAnalysis.CSharp.Syntax
open Microsoft.CodeAnalysis.Text

type Mutant = { File: string; Span: TextSpan; Replacement: string; Operator: string }

let operators =
    dict
        [ SyntaxKind.LessThanToken, ("<=", "boundary")
          SyntaxKind.LessThanEqualsToken, ("<", "boundary")
          SyntaxKind.GreaterThanToken, (">=", "boundary")
          SyntaxKind.GreaterThanEqualsToken, (">", "boundary")
          SyntaxKind.EqualsEqualsToken, ("!=", "equality")
          SyntaxKind.ExclamationEqualsToken, ("==", "equality")
          SyntaxKind.AmpersandAmpersandToken, ("||", "logic")
          SyntaxKind.BarBarToken, ("&&", "logic")
          SyntaxKind.PlusToken, ("-", "sum")
          SyntaxKind.MinusToken, ("+", "sum")
          SyntaxKind.AsteriskToken, ("/", "product")
          SyntaxKind.SlashToken, ("*", "product")
          SyntaxKind.PercentToken, ("*", "product")
          SyntaxKind.AmpersandToken, ("|", "bits")
          SyntaxKind.BarToken, ("&", "bits")
          SyntaxKind.CaretToken, ("|", "bits")
          SyntaxKind.LessThanLessThanToken, (">>", "shift")
          SyntaxKind.GreaterThanGreaterThanToken, ("<<", "shift")
          SyntaxKind.PlusEqualsToken, ("-=", "assignment")
          SyntaxKind.MinusEqualsToken, ("+=", "assignment") ]

/// The mutants at a node: what replaces which part of the text.
let mutantsAt (node: SyntaxNode) : (TextSpan * string * string) list =
    let token (token: SyntaxToken) =
        match operators.TryGetValue(token.Kind()) with
        | true, (replacement, operator) -> [ (token.Span, replacement, operator) ]
        | _ -> []

    match node with
    | :? BinaryExpressionSyntax as binary -> token binary.OperatorToken
    | :? AssignmentExpressionSyntax as assignment -> token assignment.OperatorToken
    | :? IfStatementSyntax as test -> [ (test.Condition.Span, $"!({test.Condition})", "negation") ]
    | :? ConditionalExpressionSyntax as choice -> [ (choice.Condition.Span, $"!({choice.Condition})", "negation") ]
    | :? LiteralExpressionSyntax as literal ->
        match literal.Kind(), literal.Token.Value with
        | SyntaxKind.NumericLiteralExpression, (:? int) -> [ (literal.Span, $"({literal} + 1)", "constant") ]
        | SyntaxKind.TrueLiteralExpression, _ -> [ (literal.Span, "false", "truth") ]
        | SyntaxKind.FalseLiteralExpression, _ -> [ (literal.Span, "true", "truth") ]
        | _ -> []
    | :? ExpressionStatementSyntax as statement -> [ (statement.Span, ";", "removal") ]
    | _ -> []

/// Attributes, and the texts of messages, are left alone.
let isMutable (node: SyntaxNode) = not (node :? AttributeListSyntax || node :? InterpolatedStringExpressionSyntax)
